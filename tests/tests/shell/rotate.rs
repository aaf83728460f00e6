//! `rotate-key`: everything stays, under another key, and whoever has the old one has nothing.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Instant;

use keyshell_client::keys::account::AccountKeys;
use keyshell_client::keys::seal::SecretContext;
use shared::ids::{SecretId, Version};
use shared::vault_log::SignedEntry;
use shared::wire::call::{Answer, Call};
use shared::wire::error::Refusal;
use shared::wire::rekey::Rewrite;
use tests::device::{Device, Run};
use tests::operator::lie::Lie;
use tests::operator::{Operator, PASSWORD};
use tests::owner::Owner;
use tests::server::Server;
use tokio::sync::oneshot;

const ROTATE: &str = "rotate-key --yes";

/// Everything of which something must stay: versions, names of before, tags, notes, removals, devices.
fn account() -> (Server, Device) {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    device.put("k", b"first");
    device.run_with(&[], &["put k --force"], b"second").ok();
    device.put("folder/a name \u{1f511}", &[0, 159, 146, 150]);
    device.put("gone", b"nothing");
    device
        .run(&[
            "mv k key",
            "edit key --tag work",
            "rm gone --yes",
            "mv key k",
        ])
        .ok();
    (server, device)
}

/// What there is to see of an account. Values are sealed anew, and the audit log grows.
fn seen(device: &Device) -> Vec<serde_json::Value> {
    let lines = [
        "ls --long",
        "history k",
        "info k",
        "audit --op put --op remove --op describe",
    ];
    let mut shown: Vec<_> = lines
        .iter()
        .map(|line| {
            device
                .run_with(&["--json"], &[line], b"")
                .ok()
                .json()
                .remove(0)
        })
        .collect();
    for object in &mut shown {
        if let Some(object) = object.as_object_mut() {
            object.retain(|key, _| key != "value_hash" && key != "size");
        }
    }
    shown
}

/// The database is whole.
fn check(mut server: Server) {
    server.stop();
    let output = server.command(&["check"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn code(run: &Run) -> String {
    let text = run.text();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("recovery code: "));
    line.unwrap().to_owned()
}

#[test]
fn everything_stays_and_other_devices_follow() {
    let (server, device) = account();
    let other = device.another(PASSWORD);
    other.run(&["get k"]).ok();
    let before = seen(&device);
    let first = device.run(&[ROTATE]).ok();
    assert_eq!(seen(&device), before);
    let run = other.run(&["get k --version 1"]).ok();
    assert_eq!(run.stdout, b"first");
    assert!(
        run.stderr.contains("the account key was replaced"),
        "{run:?}"
    );
    assert_eq!(other.get("k"), b"second");
    assert_eq!(other.get("folder/a name \u{1f511}"), [0, 159, 146, 150]);
    other.put("new", b"after");
    // A device that never saw the first key, and one that missed a second replacement.
    let second = other.run(&[ROTATE]).ok();
    for device in [&device, &device.another(PASSWORD)] {
        assert_eq!(device.get("new"), b"after");
        let audit = device.run(&["audit"]).ok();
        assert!(audit.text().contains(" 0 forged"), "{audit:?}");
        assert!(audit.text().contains("rekey"), "{audit:?}");
    }
    let (old, new) = (code(&first), code(&second));
    let recover = |code: &str| {
        let fresh = device.another("unknown");
        std::fs::write(fresh.path("code"), code).unwrap();
        std::fs::write(fresh.path("next"), "seven velvet otters hum\n").unwrap();
        let (code, next) = (fresh.path("code"), fresh.path("next"));
        let line = format!(
            "recover --code-file {} --new-password-file {}",
            code.display(),
            next.display()
        );
        fresh.run(&[&line, "get new"])
    };
    assert_eq!(recover(&old).status, 4);
    assert!(recover(&new).ok().text().ends_with("after"));
    check(server);
}

/// What the server shows, asked by a device that has the new key.
fn shown(operator: &Operator, device: &Device) -> (Vec<SignedEntry>, Vec<Vec<u8>>) {
    let kept = Arc::new(Mutex::new((Vec::new(), Vec::new())));
    let keep = Arc::clone(&kept);
    operator.lie(Lie::Answer(Box::new(move |_, answer| {
        let mut kept = keep.lock().unwrap();
        match answer {
            Answer::Sync(sync) => kept.0.extend(sync.entries.iter().cloned()),
            Answer::Fetch(values) => {
                let values = values.iter().flatten();
                kept.1.extend(values.map(|value| value.to_vec()));
            }
            _ => {}
        }
    })));
    device.run(&["get k", "get l"]).ok();
    operator.be_honest();
    let kept = kept.lock().unwrap();
    kept.clone()
}

#[test]
fn the_old_key_opens_and_signs_nothing() {
    let operator = Operator::start();
    let device = operator.registered("alice");
    device.put("k", b"value");
    device.put("l", b"another");
    let mut thief = operator.client("alice");
    thief.sync().unwrap();
    let old: AccountKeys = thief.vault().session().keys().clone();
    let opens = |values: &[Vec<u8>], secrets: &[SecretId]| {
        let places = secrets.iter().map(|secret| SecretContext {
            secret: *secret,
            version: Version(1),
        });
        let mut pairs = places.flat_map(|place| values.iter().map(move |value| (place, value)));
        pairs.any(|(place, value)| place.open_value(&old, value).is_ok())
    };
    let secrets = thief.vault().index().secrets();
    let secrets: Vec<SecretId> = secrets.iter().map(|secret| secret.id).collect();
    let (entries, values) = shown(&operator, &operator.device("alice"));
    // The search finds what it looks for.
    assert!(opens(&values, &secrets));
    assert!(entries[1].verify(&old.account(), &old.log_key()).is_ok());
    device.run(&[ROTATE]).ok();
    let (entries, values) = shown(&operator, &operator.device("alice"));
    assert_eq!((entries.len(), values.len()), (6, 2));
    assert!(!opens(&values, &secrets));
    for entry in &entries {
        assert!(entry.verify(&old.account(), &old.log_key()).is_err());
    }
}

#[test]
fn sessions_and_credentials_of_before_end() {
    let server = Server::start();
    let thief = Owner::register(&server, "alice", PASSWORD);
    let mut session = thief.log_in(&server);
    let device = Device::new(&server, "alice", PASSWORD);
    device.put("k", b"value");
    let other = device.another(PASSWORD);
    other.run(&["unlock"]).ok();
    device.run(&[ROTATE]).ok();
    assert!(matches!(session.call(Call::Slots), Err(Refusal::NoSession)));
    let mut command = other.command_without_password();
    command.args(["get", "k"]);
    let run = tests::device::run(command, b"");
    assert_ne!(run.status, 0, "{run:?}");
    assert_eq!(run.stdout, b"");
    other.run(&["lock"]).ok();
    // Only the credentials that the owner has just made are left.
    let slots = device.run_with(&["--json"], &["devices"], b"").ok().json();
    let credentials = slots[0].as_array().unwrap().iter();
    let held = credentials.filter(|row| row["credential"] == "yes");
    assert_eq!(held.count(), 0, "{slots:?}");
}

/// Broken off at the last step: what was sent before is not sent again.
#[test]
fn what_was_broken_off_goes_on() {
    let operator = Operator::start();
    let device = operator.registered("alice");
    for number in 0..40 {
        device.put(&format!("k{number}"), b"value");
    }
    let rewritten = Arc::new(AtomicUsize::new(0));
    let count = |refusal: Option<Refusal>| {
        let rewritten = Arc::clone(&rewritten);
        Lie::Instead(Box::new(move |request| match &request.call {
            Call::Rewrite(Rewrite(entries)) => {
                rewritten.fetch_add(entries.len(), Ordering::SeqCst);
                None
            }
            Call::Enrol(_) => refusal.clone().map(Answer::Refused),
            _ => None,
        }))
    };
    operator.lie(count(Some(Refusal::DiskFull)));
    device.run(&[ROTATE]).expect(8);
    assert_eq!(rewritten.swap(0, Ordering::SeqCst), 41);
    operator.lie(count(None));
    device.put("between", b"value");
    device.run(&[ROTATE]).ok();
    assert_eq!(rewritten.load(Ordering::SeqCst), 1);
    operator.be_honest();
    assert_eq!(device.run(&["ls"]).ok().text().lines().count(), 41);
    device.run(&["get between", "get k39", "audit"]).ok();
}

#[test]
fn another_device_may_write_meanwhile() {
    let operator = Operator::start();
    let device = operator.registered("alice");
    device.put("k", b"value");
    let mut client = operator.client("alice");
    let rotation = client.begin_rotation().unwrap();
    device.put("l", b"meanwhile");
    client.finish_rotation(rotation).unwrap();
    assert_eq!(client.get("l").unwrap().unwrap(), b"meanwhile");
    assert_eq!(device.get("l"), b"meanwhile");
    // And one that begins the same meanwhile is the one that ends it.
    let mut other = operator.client("alice");
    let first = client.begin_rotation().unwrap();
    other.rotate().unwrap();
    assert!(client.finish_rotation(first).is_err());
    client.close();
    assert_eq!(client.get("k").unwrap().unwrap(), b"value");
    assert_eq!(device.get("k"), b"value");
}

/// Between the look at the log and that at the values, where each value must stay with its secret.
#[test]
fn another_device_may_remove_meanwhile() {
    let operator = Operator::start();
    let device = operator.registered("alice");
    let mut client = operator.client("alice");
    for number in 0..40 {
        client
            .put(&format!("k{number}"), format!("value {number}").as_bytes())
            .unwrap();
    }
    let (reached, at) = mpsc::channel();
    let (release, waits) = oneshot::channel();
    let mut waits = Some(waits);
    operator.lie(Lie::Hold(Box::new(move |request| {
        let Call::Fetch(_) = request.call else {
            return None;
        };
        let first = waits.take()?;
        reached.send(()).unwrap();
        Some(first)
    })));
    let removed = std::thread::spawn(move || {
        at.recv().unwrap();
        let run = device.run(&["rm k5 --yes"]);
        drop(release);
        (device, run)
    });
    let rotation = client.begin_rotation().unwrap();
    let (device, run) = removed.join().unwrap();
    run.ok();
    client.finish_rotation(rotation).unwrap();
    operator.be_honest();
    for number in 0..40 {
        let value = (number != 5).then(|| format!("value {number}").into_bytes());
        let kept = client.get(&format!("k{number}")).unwrap();
        assert_eq!(kept, value, "k{number}");
    }
    device.run(&["get k5"]).expect(3);
    device.run(&["audit"]).ok();
}

#[test]
fn a_crash_in_the_middle_loses_nothing() {
    let (mut server, device) = account();
    let before = device.run(&["ls --long"]).ok().text();
    let started = Instant::now();
    device.run(&["ls", "ls"]).ok();
    let whole = started.elapsed() * 3;
    for round in 1..=8u32 {
        let mut command = device.command();
        command
            .args(["--timeout", "2s", "-c", ROTATE])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        // Spread over the whole run; where it lands is the point of the test, not its timing.
        std::thread::sleep(whole * round / 8);
        if round % 2 == 0 {
            child.kill().unwrap();
        } else {
            server.kill();
            server.start_again();
        }
        child.wait().unwrap();
        device.forgive();
        let run = device.run(&["get k", "audit"]).ok();
        assert!(run.stdout.starts_with(b"second"), "round {round}: {run:?}");
    }
    device.run(&[ROTATE]).ok();
    assert_eq!(device.run(&["ls --long"]).ok().text(), before);
    assert_eq!(device.another(PASSWORD).get("k"), b"second");
    check(server);
}

/// A new password, and the end of the account, take what was begun with them.
#[test]
fn what_was_begun_does_not_outlive_what_opens_it() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    device.put("k", b"value");
    let mut client = tests::client::Client::new(&server.url, &server.pin, "alice", PASSWORD);
    let rotation = client.begin_rotation().unwrap();
    std::fs::write(device.path("next"), "seven velvet otters hum\n").unwrap();
    let next = device.path("next");
    let line = format!("passwd --new-password-file {}", next.display());
    device.run(&[&line]).ok();
    assert!(client.finish_rotation(rotation).is_err());
    device.set_password("seven velvet otters hum");
    device.run(&[ROTATE, "get k"]).ok();
    let mut client =
        tests::client::Client::new(&server.url, &server.pin, "alice", "seven velvet otters hum");
    drop(client.begin_rotation().unwrap());
    device.run(&["account delete --confirm alice"]).ok();
    check(server);
}

#[test]
fn the_local_store_and_a_device_key_go_along() {
    let server = Server::start();
    let device = Device::new(&server, "alice", PASSWORD);
    device.run(&["register --with-key"]).ok();
    device.put("k", b"value");
    device.run(&["get k --save"]).ok();
    device
        .run_with(&[], &["put here --local"], b"only here")
        .ok();
    device.run(&[ROTATE]).ok();
    assert_eq!(device.run(&["get here --local"]).ok().stdout, b"only here");
    drop(server);
    let run = device.run(&["get k"]).ok();
    assert_eq!(run.stdout, b"value");
}

/// On a device that was away, also from the next password.
#[test]
fn a_local_store_is_not_lost_while_its_device_is_away() {
    let server = Server::start();
    let device = Device::registered(&server, "alice", PASSWORD);
    let other = device.another(PASSWORD);
    other.run(&["ls"]).ok();
    other
        .run_with(&[], &["put here --local"], b"only here")
        .ok();
    std::fs::write(device.path("next"), "seven velvet otters hum\n").unwrap();
    let next = device.path("next");
    let line = format!("passwd --new-password-file {}", next.display());
    device.run(&[ROTATE, &line]).ok();
    other.set_password("seven velvet otters hum");
    other.run(&["ls"]).ok();
    drop(server);
    assert_eq!(other.run(&["get here --local"]).ok().stdout, b"only here");
}
