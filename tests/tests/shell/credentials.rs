//! The life of an account: password, recovery code, devices, and its end.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::time::Instant;

use keyshell_client::error::Error;
use rexpect::session::{PtySession, spawn_command};
use serde_bytes::ByteBuf;
use shared::opaque::Slot;
use shared::wire::call::{Answer, Delete};
use shared::wire::error::Refusal;
use shared::wire::register::SlotRequest;
use shared::wire::slots::Enrol;
use tests::client::Client;
use tests::device::{Device, Run};
use tests::owner::Owner;
use tests::server::Server;

const PASSWORD: &str = "correct horse battery staple";
const NEXT: &str = "seven velvet otters hum";
const PATIENCE_MS: u64 = 60_000;

fn account() -> (Server, Device) {
    let server = Server::patient();
    let device = Device::new(&server, "alice", PASSWORD);
    let sheet = device.path("sheet");
    device
        .run(&[&format!("register --recovery-file {}", sheet.display())])
        .ok();
    device.put("k", b"value");
    std::fs::write(device.path("next"), format!("{NEXT}\n")).unwrap();
    (server, device)
}

fn passwd(device: &Device) -> Run {
    let file = device.path("next");
    device.run(&[&format!("passwd --new-password-file {}", file.display())])
}

fn recover(device: &Device, sheet: &std::path::Path) -> Run {
    std::fs::write(device.path("next"), format!("{NEXT}\n")).unwrap();
    device.run(&[&format!(
        "recover --code-file {} --new-password-file {} --recovery-file {}",
        sheet.display(),
        device.path("next").display(),
        device.path("new-sheet").display()
    )])
}

/// The first login of a device that knows nothing, with this password.
fn log_in(device: &Device, password: &str) -> i32 {
    device.another(password).run(&["get k"]).status
}

#[test]
fn a_new_password_holds_at_once_and_the_old_one_is_dead() {
    let (server, device) = account();
    let mut session = Client::new(&server.url, &server.pin, "alice", PASSWORD);
    assert_eq!(session.get("k").unwrap().unwrap(), b"value");
    let entries = session.vault().index().head().seq;
    passwd(&device).ok();
    // The other session has ended, and its password opens no new one.
    assert_eq!(session.get("k"), Err(Error::LoginRefused));
    device.run(&["get k"]).expect(4);
    assert_eq!(log_in(&device, PASSWORD), 4);
    assert_eq!(log_in(&device, NEXT), 0);
    device.set_password(NEXT);
    // A new key epoch and a new credential say so; nothing was encrypted again.
    let lines = ["ls", "status", "audit --op slot --op rekey --op reseal"];
    let run = device.run_with(&["--json"], &lines, b"").ok();
    let seen = run.json().last().unwrap().clone();
    assert!(
        run.text()
            .contains(&format!("\"entries\":{}", entries.0 + 2)),
        "{run:?}"
    );
    assert_eq!(seen["records"].as_array().unwrap().len(), 2, "{seen}");
    // The local store follows.
    device.run(&["get k --save"]).ok();
    device.run(&["get k --local"]).ok();
}

#[test]
fn the_local_store_follows_the_password_on_every_device() {
    let (_server, device) = account();
    let other = device.another(PASSWORD);
    other.run(&["get k --save"]).ok();
    device.run(&["get k --save"]).ok();
    passwd(&device).ok();
    other.set_password(NEXT);
    // It cannot know before it has logged in once.
    other.run(&["get k --local"]).expect(4);
    other.run(&["ls"]).ok();
    other.run(&["get k --local"]).ok();
    device.set_password(NEXT);
    device.run(&["get k --local"]).ok();
}

/// Other devices' own credentials stay, and follow into the new key epoch; what ends them is said where the password is
/// changed.
#[test]
fn other_devices_go_on_until_they_are_revoked() {
    let (_server, device) = account();
    let other = device.another(PASSWORD);
    let named = ["devices rename 'the laptop'", "unlock"];
    other.run(&named).ok();
    let get = || {
        let mut command = other.command_without_password();
        command.args(["get", "later"]);
        tests::device::run(command, b"")
    };
    let run = passwd(&device).ok();
    assert!(run.stderr.contains("the laptop"), "{run:?}");
    device.set_password(NEXT);
    device.put("later", b"of a new epoch");
    assert_eq!(get().ok().stdout, b"of a new epoch");
    device.run(&["devices revoke 'the laptop' --yes"]).ok();
    let run = get();
    assert_ne!(run.status, 0, "{run:?}");
    assert_eq!(run.stdout, b"");
    other.run(&["lock"]).ok();
    let run = device.run_with(&["--json"], &["devices"], b"").ok();
    let rows = run.json()[0].clone();
    let rows = rows.as_array().unwrap().iter();
    let revoked = rows.filter(|row| row["credential"] == "revoked");
    assert_eq!(revoked.count(), 1, "{run:?}");
}

#[test]
fn a_weak_password_is_refused_unless_it_is_insisted_on() {
    let server = Server::start();
    let device = Device::new(&server, "alice", "alice1234");
    let run = device.run(&["register"]).expect(2);
    assert!(run.stderr.contains("easy to guess"), "{run:?}");
    device.run(&["register --force"]).ok();
    std::fs::write(device.path("next"), "password1\n").unwrap();
    let run = passwd(&device).expect(2);
    assert!(run.stderr.contains("easy to guess"), "{run:?}");
    device.run(&["status"]).ok();
    assert_eq!(device.another("alice1234").run(&["ls"]).status, 0);
}

/// Others may know it, and the owner would believe that it is replaced.
#[test]
fn the_present_password_is_no_new_one() {
    let (_server, device) = account();
    std::fs::write(device.path("next"), format!("{PASSWORD}\n")).unwrap();
    let run = passwd(&device).expect(2);
    assert!(run.stderr.contains("choose another"), "{run:?}");
    let file = device.path("next");
    let line = format!("passwd --force --new-password-file {}", file.display());
    device.run(&[&line]).expect(2);
    assert_eq!(log_in(&device, PASSWORD), 0);
}

#[test]
fn a_crash_in_the_middle_leaves_exactly_one_password() {
    let (mut server, device) = account();
    let started = Instant::now();
    device.run(&["ls", "ls"]).ok();
    let whole = started.elapsed() * 2;
    let (mut now, mut next) = (PASSWORD.to_owned(), NEXT.to_owned());
    for round in 1..=10u32 {
        std::fs::write(device.path("next"), format!("{next}\n")).unwrap();
        let mut command = device.command();
        command
            .args(["--timeout", "2s", "-c"])
            .arg(format!(
                "passwd --new-password-file {}",
                device.path("next").display()
            ))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        // Spread over the whole run; where it lands is the point of the test, not its timing.
        std::thread::sleep(whole * round / 10);
        server.kill();
        server.start_again();
        child.wait().unwrap();
        let with = |password: &str| log_in(&device, password);
        match (with(&now), with(&next)) {
            (0, 4) => {}
            (4, 0) => {
                std::mem::swap(&mut now, &mut next);
            }
            other => panic!("round {round}: {other:?}"),
        }
        device.set_password(&now);
        device.forgive();
        device.run(&["get k", "audit"]).ok();
    }
}

#[test]
fn the_recovery_code_sets_a_new_password_on_a_device_that_knows_nothing() {
    let (_server, device) = account();
    let sheet = device.path("sheet");
    let fresh = device.another("unknown");
    recover(&fresh, &sheet).ok();
    assert_eq!(log_in(&device, PASSWORD), 4);
    assert_eq!(log_in(&device, NEXT), 0);
    // The code is used up, and the next one is on the new sheet.
    let again = device.another("unknown");
    let run = recover(&again, &sheet).expect(4);
    assert!(run.stderr.contains("wrong code"), "{run:?}");
    assert!(!again.path("new-sheet").exists());
    recover(&again, &fresh.path("new-sheet")).ok();
    assert_eq!(log_in(&device, NEXT), 0);
}

#[test]
fn the_recovery_code_is_renewed_and_revoked() {
    let (_server, device) = account();
    let new = device.path("renewed");
    device
        .run(&[&format!("recovery renew --recovery-file {}", new.display())])
        .ok();
    recover(&device.another("x"), &device.path("sheet")).expect(4);
    device.run(&["recovery off"]).expect(2);
    device.run(&["recovery off --yes"]).ok();
    recover(&device.another("x"), &new).expect(4);
    let last = device.path("last");
    device
        .run(&[&format!(
            "recovery renew --recovery-file {}",
            last.display()
        )])
        .ok();
    recover(&device.another("x"), &last).ok();
}

fn terminal(device: &Device) -> PtySession {
    let mut session = spawn_command(device.command(), Some(PATIENCE_MS)).unwrap();
    session.exp_regex("alice.*> ").unwrap();
    session
}

fn typed(session: &mut PtySession, line: &str, expected: &str) {
    session.send_line(line).unwrap();
    session.exp_string(expected).unwrap();
}

#[test]
fn an_interactive_shell_opens_the_next_session_by_itself() {
    let (mut server, device) = account();
    let mut command = device.command_without_password();
    command.args(["--timeout", "10s"]);
    let mut session = spawn_command(command, Some(PATIENCE_MS)).unwrap();
    session.exp_regex("alice.*> ").unwrap();
    session.send_line("get k").unwrap();
    session.exp_string("Password of alice: ").unwrap();
    session.send_line(PASSWORD).unwrap();
    session.exp_string("value").unwrap();
    server.stop();
    server.start_again();
    // Without the password, and no write is lost.
    typed(&mut session, "gen after-restart", "opened again");
    session.exp_string("after-restart: version 1").unwrap();
    server.kill();
    server.start_again();
    typed(&mut session, "get k", "value");
    // Its device can be shut out by another one, which the server then obeys.
    let run = device.run_with(&["--json"], &["devices"], b"").ok();
    let devices = run.json()[0].clone();
    let own: Vec<_> = devices
        .as_array()
        .unwrap()
        .iter()
        .filter(|row| row["credential"] == "own")
        .collect();
    assert_eq!(own.len(), 1, "{devices}");
    let id = own[0]["device"].as_str().unwrap();
    assert!(
        !own[0]["sessions"].as_array().unwrap().is_empty(),
        "{devices}"
    );
    let other = device.another(PASSWORD);
    other.run(&[&format!("devices revoke {id} --yes")]).ok();
    session.send_line("get k").unwrap();
    session.exp_string("Password of alice: ").unwrap();
    session.send_line(PASSWORD).unwrap();
    session.exp_string("value").unwrap();
    session.send_control('d').unwrap();
    session.exp_eof().unwrap();
}

#[test]
fn a_device_alone_cannot_change_the_account() {
    let (mut server, device) = account();
    let mut session = terminal(&device);
    typed(&mut session, "ls", "k");
    server.stop();
    server.start_again();
    // The next session is the device's own; what takes the owner asks for the password, here from the file.
    typed(&mut session, "get k", "value");
    device.set_password("wrong");
    typed(&mut session, "recovery off --yes", "login refused");
    device.set_password(PASSWORD);
    typed(&mut session, "recovery off --yes", "revoked");
}

/// Whoever walks up to an open session does not know the password, and gets nothing that outlives the session.
#[test]
fn an_open_session_is_asked_for_the_password_before_it_changes_a_credential() {
    let (_server, device) = account();
    device.run(&["devices rename 'the laptop'"]).ok();
    let stolen = device.path("stolen");
    let renew = format!("recovery renew --recovery-file {}", stolen.display());
    for line in [
        &renew,
        "recovery off --yes",
        "devices revoke 'the laptop' --yes",
        "devices rename mine",
        "account delete --confirm alice",
        "passwd",
        "rotate-key --yes",
        "unlock",
    ] {
        let command = device.command_without_password();
        let mut session = spawn_command(command, Some(PATIENCE_MS)).unwrap();
        session.exp_regex("alice.*> ").unwrap();
        typed(&mut session, "get k", "Password of alice: ");
        typed(&mut session, PASSWORD, "value");
        typed(&mut session, line, "Password of alice: ");
        typed(&mut session, "a guess", "login refused");
        // And the session is over.
        typed(&mut session, "get k", "Password of alice: ");
        typed(&mut session, PASSWORD, "value");
        // What is typed before the prompt is thrown away.
        session.exp_string("\u{1b}[?2004h").unwrap();
        session.exp_regex("alice.*> ").unwrap();
        session.send_control('d').unwrap();
        session.exp_eof().unwrap();
    }
    assert!(!stolen.exists());
    let run = device.run_with(&["--json"], &["devices"], b"").ok();
    assert!(run.text().contains("the laptop"), "{run:?}");
    recover(&device.another("x"), &device.path("sheet")).ok();
}

/// By the server's own rule: a thief's client asks nobody.
#[test]
fn a_session_that_was_left_open_changes_no_credential() {
    for (proof, is_recent) in [("0s", false), ("5m", true)] {
        let server = Server::configured(&format!("session_proof = \"{proof}\"\n"));
        let owner = Owner::register_without_device(&server, "alice", PASSWORD);
        let here = Ipv4Addr::LOCALHOST;
        let mut session = owner.log_in_from(&server, here, Slot::Password).unwrap();
        session.sync(0).unwrap();
        for slot in [Slot::Recovery, Slot::Password, owner.device_slot()] {
            let request = ByteBuf::from(b"no request".to_vec());
            let enrol = Enrol(vec![SlotRequest { slot, request }]);
            let expected = if is_recent {
                Refusal::Malformed
            } else {
                Refusal::NeedsPassword
            };
            let answer = session.call(enrol).unwrap();
            assert_eq!(answer, Answer::Refused(expected), "{slot}");
        }
        let answer = session.call(Delete(0)).unwrap();
        assert_eq!(matches!(answer, Answer::Delete(_)), is_recent, "{answer:?}");
    }
}

#[test]
fn devices_have_names_in_lists_and_logs() {
    let (_server, device) = account();
    device.run(&["devices rename 'the laptop'"]).ok();
    device.run_with(&[], &["put named"], b"1").ok();
    let run = device
        .run(&["devices", "history named", "audit named"])
        .ok();
    assert!(run.text().matches("the laptop").count() >= 3, "{run:?}");
    let other = device.another(PASSWORD);
    other.run(&["devices rename 'the laptop'"]).ok();
    let run = device.run(&["devices revoke 'the laptop' --yes"]).expect(2);
    assert!(run.stderr.contains("matches several devices"), "{run:?}");
}

#[test]
fn a_deleted_account_is_gone_and_its_name_is_free() {
    let (mut server, device) = account();
    let other = device.another(PASSWORD);
    other.run(&["get k --save"]).ok();
    device.run(&["account delete"]).expect(2);
    device.run(&["account delete --confirm bob"]).expect(2);
    let run = device.run(&["account delete --confirm alice"]).ok();
    assert!(run.text().contains("keyserver/"), "{run:?}");
    other.run(&["ls"]).expect(4);
    // What was saved on another device stays there.
    other.run(&["get k --local"]).ok();
    device.run(&["register"]).ok();
    device.run(&["get k"]).expect(3);
    // For a device that knew the old one this is another account.
    let run = other.run(&["ls"]).expect(7);
    assert!(run.stderr.contains("another account"), "{run:?}");
    // Nothing is left of it in the database.
    server.stop();
    let check: Command = server.command(&["check"]);
    let run = tests::device::run(check, b"").ok();
    assert!(run.stdout.len() + run.stderr.len() > 0);
    server.start_again();
    device.run(&["ls"]).ok();
}
