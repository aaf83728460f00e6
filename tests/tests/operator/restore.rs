//! A server that was honestly restored from a backup: noticed, acknowledged, and gone on from.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::process::Stdio;
use std::sync::mpsc;

use keyshell_client::account::Renewal;
use keyshell_client::device::pins::ServerPins;
use keyshell_client::opaque::login::StartedLogin;
use rexpect::session::spawn_command;
use shared::channel::Sealed;
use shared::names::AccountName;
use shared::opaque::Slot;
use shared::secret::SecretBytes;
use shared::wire::call::{Answer, Call};
use shared::wire::error::Refusal;
use shared::wire::login::{LoginFinish, LoginResponse};
use shared::wire::path;
use tests::client::Client;
use tests::device::{Device, Run};
use tests::operator::lie::Lie;
use tests::operator::{Operator, PASSWORD, caught};
use tests::raw::Raw;

/// For one step at the terminal: Argon2id on a busy machine.
const PATIENCE_MS: u64 = 60_000;

/// An operator, a device that has seen everything, and one that has seen as much.
fn restored() -> (Operator, Device, Device) {
    let mut operator = Operator::start();
    let device = operator.registered("alice");
    device.put("old", b"1");
    device.put("removed later", b"2");
    let copy = operator.copy();
    work(&device);
    let other = operator.device("alice");
    other.run(&["ls"]).ok();
    operator.roll_back(copy);
    (operator, device, other)
}

/// What the restored server will not know.
fn work(device: &Device) {
    device.run_with(&[], &["put old --force"], b"1b").ok();
    device.put("saved", b"3");
    device
        .run(&["edit saved --note 'a note' --tag t", "get saved --save"])
        .ok();
    device.put("not saved", b"4");
    device.run(&["rm 'removed later' --yes"]).ok();
}

#[test]
fn an_honest_restore_is_acknowledged_once_for_all_devices_in_step() {
    let (operator, device, other) = restored();
    caught(&device, &["ls"], 7, "acknowledge");
    // Without a person to ask nothing is accepted.
    device.run(&["acknowledge"]).expect(2);
    caught(&device, &["ls"], 7, "rolled back");
    let run = device
        .run_with(&["--json"], &["acknowledge --yes"], b"")
        .ok();
    let json = run.json();
    assert_eq!(json[0]["put_back"], serde_json::json!(["saved"]));
    assert_eq!(json[0]["lost"], serde_json::json!(["not saved", "old"]));
    assert_eq!(json[0]["returned"], serde_json::json!(["removed later"]));
    assert!(run.stderr.contains("lost: old, version 2"), "{run:?}");
    assert_eq!(device.get("saved"), b"3");
    assert_eq!(device.get("old"), b"1");
    let run = device.run(&["info saved"]).ok();
    assert!(run.text().contains("a note"), "{run:?}");
    device.run(&["audit"]).ok();
    // The other device had seen just as much: the owner's signed word is enough for it.
    let run = other.run(&["get saved"]).ok();
    assert!(
        run.stderr
            .contains("another device of yours has acknowledged"),
        "{run:?}"
    );
    other.put("after", b"5");
    other.run(&["audit"]).ok();
    assert_eq!(device.get("after"), b"5");
    // There is nothing more to acknowledge.
    let run = device.run(&["acknowledge --yes"]).expect(1);
    assert!(run.stderr.contains("nothing to acknowledge"), "{run:?}");
    drop(operator);
}

/// The device pins the restored state only once its acknowledgement is stored: else an operator who refused that, or a
/// client that was killed meanwhile, would leave a device that follows the restored state with its old credentials.
#[test]
fn an_acknowledgement_that_was_not_stored_accepts_nothing() {
    let (operator, device, other) = restored();
    let seen = || {
        let pins = std::fs::read_to_string(device.pins()).unwrap();
        let pins: serde_json::Value = serde_json::from_str(&pins).unwrap();
        (pins["head"].clone(), pins["audit"].clone())
    };
    let before = seen();
    for is_killed in [false, true] {
        let (reached, at) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        operator.lie(Lie::Instead(Box::new(move |request| {
            let Call::Install(_) = &request.call else {
                return None;
            };
            reached.send(()).unwrap();
            // Until the client is gone, or at once.
            let _ = released.recv();
            Some(Answer::Refused(Refusal::DiskFull))
        })));
        if is_killed {
            let mut command = device.command();
            command.args(["-c", "acknowledge --yes"]);
            let null = || Stdio::null();
            command.stdin(null()).stdout(null()).stderr(null());
            let mut client = command.spawn().unwrap();
            at.recv().unwrap();
            client.kill().unwrap();
            assert_eq!(client.wait().unwrap().code(), None);
            drop(release);
        } else {
            drop(release);
            device.run(&["acknowledge --yes"]).expect(8);
            at.recv().unwrap();
        }
        operator.be_honest();
        assert_eq!(seen(), before, "killed: {is_killed}");
        for line in ["ls", "put x", "get old"] {
            caught(&device, &[line], 7, "acknowledge");
        }
    }
    device.run(&["acknowledge --yes", "audit"]).ok();
    assert_eq!(device.get("old"), b"1");
    other.run(&["ls", "audit"]).ok();
    device.put("after", b"5");
    assert_eq!(other.get("after"), b"5");
}

/// Who has seen less, or something else, is not bound by the word of a device that did not know it.
#[test]
fn a_device_that_was_not_in_step_decides_for_itself() {
    let mut operator = Operator::start();
    let device = operator.registered("alice");
    device.put("a", b"1");
    let copy = operator.copy();
    device.put("b", b"2");
    let behind = operator.device("alice");
    behind.run(&["ls"]).ok();
    device.put("c", b"3");
    operator.roll_back(copy);
    device.run(&["acknowledge --yes"]).ok();
    device.put("d", b"4");
    device.put("e", b"5");
    caught(&behind, &["ls"], 7, "does not continue the log");
    behind.run(&["acknowledge --yes"]).ok();
    assert_eq!(behind.get("d"), b"4");
    // Its word comes after the first one's, and disturbs nobody.
    assert_eq!(device.get("e"), b"5");
    device.run(&["audit"]).ok();
}

/// Where only the audit log lost something, because nothing was changed since the backup.
#[test]
fn a_restore_may_concern_the_audit_log_alone() {
    let mut operator = Operator::start();
    let device = operator.registered("alice");
    device.put("a", b"1");
    let other = operator.device("alice");
    let copy = operator.copy();
    other.run(&["ls", "get a"]).ok();
    device.run(&["get a", "get a"]).ok();
    operator.roll_back(copy);
    caught(&device, &["ls"], 7, "audit log");
    device.run(&["acknowledge --yes", "audit"]).ok();
    other.run(&["get a", "audit"]).ok();
}

/// The owner's word of long ago accepts nothing that was lost since, whatever this device still has of its index.
#[test]
fn an_old_acknowledgement_accepts_no_new_loss() {
    let mut operator = Operator::start();
    let device = operator.registered("alice");
    device.put("a", b"1");
    let copy = operator.copy();
    device.put("b", b"2");
    operator.roll_back(copy);
    device.run(&["acknowledge --yes"]).ok();
    let copy = operator.copy();
    device.run(&["get a", "get a"]).ok();
    operator.roll_back(copy);
    std::fs::remove_dir_all(device.path("home/cache")).unwrap();
    caught(&device, &["ls"], 7, "audit log");
}

fn passwd(device: &Device, next: &str) {
    std::fs::write(device.path("next"), format!("{next}\n")).unwrap();
    let file = device.path("next");
    let line = format!("passwd --new-password-file {}", file.display());
    device.run(&[&line]).ok();
    device.set_password(next);
}

/// Row 2 of the review: a restore brings an old password, an old recovery code and a revoked device back. Each is named
/// with its generation, and none of them opens anything after the one step that acknowledges the loss.
/// Another shell of this device has the pins of before in its memory, and closes its session afterwards.
#[test]
fn a_shell_that_was_open_meanwhile_brings_no_pins_back() {
    let mut operator = Operator::start();
    let device = operator.registered("alice");
    device.put("old", b"1");
    let copy = operator.copy();
    device.put("lost", b"2");
    let mut session = spawn_command(device.command(), Some(PATIENCE_MS)).unwrap();
    session.send_line("ls").unwrap();
    session.exp_string("lost").unwrap();
    operator.roll_back(copy);
    device.run(&["acknowledge --yes"]).ok();
    session.send_line("exit").unwrap();
    session.exp_eof().unwrap();
    device.run(&["ls"]).ok();
    assert_eq!(device.get("old"), b"1");
}

#[test]
fn credentials_that_come_back_are_named_and_shut_out_in_the_same_step() {
    const NEXT: &str = "seven velvet otters hum";
    const LAST: &str = "nine copper badgers sing";
    let mut operator = Operator::start();
    let device = operator.device("alice");
    let old_code = device.path("old code");
    let line = format!("register --recovery-file '{}'", old_code.display());
    device.run(&[&line]).ok();
    device.put("k", b"value");
    let mut phone = operator.client("alice");
    let secret = enrolled(&mut phone);
    let id = phone.vault().session().device();
    // Nothing of this one changes, but its secret may have been replaced since the copy.
    let mut tablet = operator.client("alice");
    let kept = enrolled(&mut tablet);
    let tablet = Slot::Device(tablet.vault().session().device());
    device.run(&["ls"]).ok();
    let copy = operator.copy();
    device
        .run(&[&format!("devices revoke {id} --yes"), "recovery renew"])
        .ok();
    passwd(&device, NEXT);
    operator.roll_back(copy);
    // The old password is the one that the restored server knows.
    device.set_password(PASSWORD);
    caught(&device, &["ls"], 7, "acknowledge");
    let new = device.path("next");
    std::fs::write(&new, format!("{LAST}\n")).unwrap();
    let line = format!("acknowledge --yes --new-password-file {}", new.display());
    // The password that is valid again is no new one.
    std::fs::write(&new, format!("{PASSWORD}\n")).unwrap();
    let run = device.run(&[&line]).expect(2);
    assert!(run.stderr.contains("choose another"), "{run:?}");
    caught(&device, &["ls"], 7, "acknowledge");
    std::fs::write(&new, format!("{LAST}\n")).unwrap();
    let before = operator.calls().len();
    let run = device.run_with(&["--json"], &[&line], b"").ok();
    for words in [
        "valid again: the password: it will be replaced (generation 1; this device has seen 2)",
        "valid again: the recovery code: it will be replaced (generation 1; this device has seen 2)",
        "it will be revoked (generation 1; this device has seen 2)",
    ] {
        assert!(run.stderr.contains(words), "{run:?}");
    }
    let json = run.json();
    let report = json.last().unwrap();
    assert_eq!(
        report["credentials"].as_array().unwrap().len(),
        3,
        "{report}"
    );
    // One call writes it all, and the first one that writes anything is that one.
    let calls = operator.calls().split_off(before);
    let writes: Vec<&Call> = calls
        .iter()
        .filter(|call| matches!(call, Call::Append(_) | Call::Install(_)))
        .collect();
    let [Call::Install(install)] = writes.as_slice() else {
        panic!("{writes:?}");
    };
    assert!(install.epoch.is_some());
    // None of the three opens a session any more.
    device.run(&["ls"]).expect(4);
    let old = operator.device("alice");
    std::fs::write(old.path("next"), "whatever it is\n").unwrap();
    let next = old.path("next");
    let line = format!(
        "recover --code-file '{}' --new-password-file {}",
        old_code.display(),
        next.display()
    );
    old.run(&[&line]).expect(4);
    let slot = Slot::Device(id);
    assert_eq!(log_in(&operator, slot, &secret), Err(Refusal::LoginRefused));
    assert_eq!(log_in(&operator, tablet, &kept), Err(Refusal::LoginRefused));
    device.set_password(LAST);
    device.run(&["ls", "audit"]).ok();
    assert_eq!(device.get("k"), b"value");
}

/// An account whose password and key epoch are of after the backup that the server was restored from. The local store has
/// a copy of a secret that the server lost.
fn restored_past_passwd(next: &str) -> (Operator, Device) {
    let mut operator = Operator::start();
    let device = operator.registered("alice");
    device.put("k", b"value");
    let copy = operator.copy();
    device.put("late", b"written later");
    device.run(&["get late --save"]).ok();
    passwd(&device, next);
    operator.roll_back(copy);
    let run = device.run(&["acknowledge --yes"]).expect(4);
    assert!(run.stderr.contains("time of its backup"), "{run:?}");
    device.set_password(PASSWORD);
    caught(&device, &["ls"], 7, "acknowledge");
    (operator, device)
}

fn acknowledge(device: &Device, next: &str) -> Run {
    let new = device.path("new");
    std::fs::write(&new, format!("{next}\n")).unwrap();
    let line = format!("acknowledge --yes --new-password-file {}", new.display());
    let run = device.run_with(&["--json"], &[&line], b"").ok();
    assert!(!run.stderr.contains("damaged"), "{run:?}");
    assert!(
        run.stderr.contains("index of the vault is sealed"),
        "{run:?}"
    );
    device.set_password(next);
    run
}

#[test]
fn a_local_store_of_a_lost_account_key_opens_by_the_newer_password() {
    const NEXT: &str = "seven velvet otters hum";
    let (_operator, device) = restored_past_passwd(NEXT);
    let run = acknowledge(&device, NEXT);
    assert!(run.stderr.contains("follows the session again"), "{run:?}");
    let json = run.json();
    assert_eq!(json[0]["put_back"], serde_json::json!(["late"]));
    assert_eq!(device.get("late"), b"written later");
    let run = device.run(&["get late --local"]).ok();
    assert_eq!(run.stdout, b"written later");
}

/// The password stays, and the account key was replaced all the same.
#[test]
fn a_local_store_of_a_lost_account_key_opens_by_the_same_password() {
    let mut operator = Operator::start();
    let device = operator.registered("alice");
    let copy = operator.copy();
    device.run(&["recovery renew"]).ok();
    device.run(&["ls"]).ok();
    device.run_with(&[], &["put here --local"], b"value").ok();
    operator.roll_back(copy);
    caught(&device, &["ls"], 7, "acknowledge");
    let run = device.run(&["acknowledge --yes"]).ok();
    assert!(run.stderr.contains("follows the session again"), "{run:?}");
    assert_eq!(
        device.run(&["ls", "get here --local"]).ok().stdout,
        b"value"
    );
}

#[test]
fn a_local_store_of_a_lost_account_key_stays_until_its_password_is_given() {
    const NEXT: &str = "seven velvet otters hum";
    const LAST: &str = "nine copper badgers sing";
    let (_operator, device) = restored_past_passwd(NEXT);
    let run = acknowledge(&device, LAST);
    let words = "was written under an account key that the server does not have any more";
    assert!(run.stderr.contains(words), "{run:?}");
    // With a session it stays closed; without one it opens by its password.
    let run = device.run(&["ls", "get late --local"]).expect(4);
    assert!(run.stderr.contains(words), "{run:?}");
    device.set_password(NEXT);
    let run = device.run(&["get late --local"]).ok();
    assert_eq!(run.stdout, b"written later");
    device.set_password(LAST);
    let mut command = device.command();
    command.args(["-c", "login"]);
    let mut terminal = spawn_command(command, Some(60_000)).unwrap();
    for password in [PASSWORD, NEXT] {
        terminal.exp_string("(Enter leaves it closed): ").unwrap();
        terminal.send_line(password).unwrap();
    }
    terminal.exp_string("follows the session again").unwrap();
    terminal.exp_eof().unwrap();
    let run = device.run(&["get late --local"]).ok();
    assert_eq!(run.stdout, b"written later");
}

fn enrolled(phone: &mut Client) -> SecretBytes {
    phone
        .change(async |vault| {
            vault.enrol_device(Renewal::default().lease).await?;
            Ok(vault.device_secret().cloned().unwrap())
        })
        .unwrap()
}

/// Tries a login by a credential.
fn log_in(operator: &Operator, slot: Slot, secret: &SecretBytes) -> Result<(), Refusal> {
    let name = AccountName::parse("alice").unwrap();
    let (attempt, start) = StartedLogin::start(&name, slot, secret).unwrap();
    let mut raw = Raw::to(operator);
    let response: LoginResponse = raw.ask(path::LOGIN_START, &start)?;
    let keys = operator.keys();
    let server = ServerPins {
        server: keys.server_id,
        opaque_key: keys.opaque_key(),
        checkpoint_key: keys.checkpoint_key(),
    };
    let proven = attempt.finish(server, &response.ke2);
    let finish = LoginFinish {
        pending: response.pending,
        ke3: proven.map_err(|_| Refusal::LoginRefused)?.ke3,
    };
    raw.ask::<Sealed>(path::LOGIN_FINISH, &finish).map(drop)
}

/// A version of the same number that is another value was lost as well, and comes back beside what was written since.
#[test]
fn a_lost_version_is_put_back_beside_the_one_of_its_number() {
    let mut operator = Operator::start();
    let device = operator.registered("alice");
    device.put("k", b"1");
    let copy = operator.copy();
    device.run_with(&[], &["put k --force"], b"lost").ok();
    device.run(&["get k --save"]).ok();
    operator.roll_back(copy);
    let fresh = operator.device("alice");
    fresh
        .run_with(&[], &["put k --force"], b"written since")
        .ok();
    device.run(&["acknowledge --yes"]).ok();
    assert_eq!(device.get("k"), b"written since");
    assert_eq!(device.get("k (lost version 2)"), b"lost");
}
