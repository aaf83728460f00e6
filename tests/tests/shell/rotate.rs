//! `rotate-key`: everything stays, under another key, and whoever has the old one has nothing.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use keyshell_client::keys::account::AccountKeys;
use keyshell_client::keys::seal::SecretContext;
use shared::ids::{SecretId, Version};
use shared::vault_log::Op;
use shared::wire::call::{Answer, Append, Call, LoggedEntry, NewEntry};
use shared::wire::error::Refusal;
use tests::device::Device;
use tests::operator::lie::Lie;
use tests::operator::{Operator, PASSWORD};
use tests::owner::Owner;
use tests::server::Server;

const ROTATE: &str = "rotate-key --yes";

/// Everything of which something must stay: versions, names of before, tags, notes, removals, devices.
fn account() -> (Server, Device, PathBuf) {
    let server = Server::start();
    let device = Device::new(&server, "alice", PASSWORD);
    let sheet = device.path("sheet");
    device
        .run(&[&format!("register --recovery-file {}", sheet.display())])
        .ok();
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
    (server, device, sheet)
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
        let Some(object) = object.as_object_mut() else {
            continue;
        };
        object.retain(|key, _| !["value_hash", "size", "log_entry"].contains(&key.as_str()));
        let versions = object
            .get_mut("versions")
            .and_then(|all| all.as_array_mut());
        for version in versions.into_iter().flatten() {
            version.as_object_mut().unwrap().remove("log_entry");
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

#[test]
fn everything_stays_and_other_devices_follow() {
    let (server, device, sheet) = account();
    let other = device.another(PASSWORD);
    other.run(&["get k"]).ok();
    let before = seen(&device);
    device.run(&[ROTATE]).ok();
    assert_eq!(seen(&device), before);
    let run = other.run(&["get k --version 1"]).ok();
    assert_eq!(run.stdout, b"first");
    assert!(
        run.stderr.contains("a new account key is in use"),
        "{run:?}"
    );
    assert_eq!(other.get("k"), b"second");
    assert_eq!(other.get("folder/a name \u{1f511}"), [0, 159, 146, 150]);
    other.put("new", b"after");
    // A device that never saw the first key, and one that missed a second replacement.
    other.run(&[ROTATE]).ok();
    for device in [&device, &device.another(PASSWORD)] {
        assert_eq!(device.get("new"), b"after");
        let audit = device.run(&["audit"]).ok();
        assert!(audit.text().contains(" 0 forged"), "{audit:?}");
        assert!(audit.text().contains("rekey"), "{audit:?}");
    }
    // The sheet of before both replacements.
    let fresh = device.another("unknown");
    std::fs::write(fresh.path("next"), "seven velvet otters hum\n").unwrap();
    let line = format!(
        "recover --code-file {} --new-password-file {}",
        sheet.display(),
        fresh.path("next").display()
    );
    let run = fresh.run(&[&line, "get new"]).ok();
    assert!(run.text().ends_with("after"), "{run:?}");
    check(server);
}

/// What the server shows to a device that has the new key: entries with their content, and values.
fn shown(operator: &Operator, device: &Device) -> (Vec<LoggedEntry>, Vec<Vec<u8>>) {
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
    let secrets = thief.vault().index().secrets();
    let secrets: Vec<SecretId> = secrets.iter().map(|secret| secret.id).collect();
    // Under any claim of the epoch.
    let opens = |entries: &[LoggedEntry], values: &[Vec<u8>]| {
        let places = secrets.iter().map(|secret| SecretContext {
            secret: *secret,
            version: Version(1),
        });
        let metadata = entries.iter().filter_map(|logged| logged.metadata.as_ref());
        let metadata: Vec<_> = metadata.collect();
        let mut opened = 0;
        for (place, epoch) in places.flat_map(|place| [(place, 1), (place, 2)]) {
            let values = values
                .iter()
                .map(|value| place.open_value(&old, epoch, value));
            opened += values.flatten().count();
            let metadata = metadata.iter();
            let metadata = metadata.map(|sealed| place.open_metadata(&old, epoch, sealed));
            opened += metadata.flatten().count();
        }
        opened
    };
    let signs = |entries: &[LoggedEntry]| {
        let signed = |logged: &&LoggedEntry| {
            let verified = logged.entry.verify(&old.account(), &old.log_key());
            verified.is_ok()
        };
        entries.iter().filter(signed).count()
    };
    let (entries, values) = shown(&operator, &operator.device("alice"));
    // The search finds what it looks for: two values, two forms of metadata.
    assert_eq!(opens(&entries, &values), 4);
    assert_eq!(signs(&entries), 5);
    device.run(&[ROTATE]).ok();
    let (entries, values) = shown(&operator, &operator.device("alice"));
    // Registration, two puts and the rekey are of before.
    assert_eq!((entries.len(), values.len()), (8, 2));
    assert_eq!(opens(&entries, &values), 0);
    assert_eq!(signs(&entries), 6);
}

#[test]
fn sessions_of_before_end_and_credentials_of_devices_go_on() {
    let server = Server::start();
    let thief = Owner::register(&server, "alice", PASSWORD);
    let mut session = thief.log_in(&server);
    let device = Device::new(&server, "alice", PASSWORD);
    device.put("k", b"value");
    let other = device.another(PASSWORD);
    other.run(&["unlock"]).ok();
    device.run(&[ROTATE]).ok();
    device.put("k2", b"later");
    assert!(matches!(session.call(Call::Slots), Err(Refusal::NoSession)));
    let mut command = other.command_without_password();
    command.args(["get", "k2"]);
    let run = tests::device::run(command, b"").ok();
    assert_eq!(run.stdout, b"later");
    other.run(&["lock"]).ok();
}

/// The entries of this kind that devices sent, and the key epochs that they began.
fn sent(operator: &Operator) -> (usize, usize) {
    let calls = operator.calls();
    let reseals = calls.iter().map(|call| match call {
        Call::Append(Append(entries)) => reseals(entries),
        _ => 0,
    });
    let installs = calls.iter().filter(|call| matches!(call, Call::Install(_)));
    (reseals.sum(), installs.count())
}

fn reseals(entries: &[NewEntry]) -> usize {
    let ops = entries
        .iter()
        .map(|new| new.entry.decode_unverified().unwrap().op);
    ops.filter(|op| matches!(op, Op::Reseal(_))).count()
}

/// Broken off in the middle: what was sealed again before is not sealed again.
#[test]
fn what_was_broken_off_goes_on() {
    let operator = Operator::start();
    let device = operator.registered("alice");
    for number in 0..40 {
        device.put(&format!("k{number}"), b"value");
    }
    let mut allowed = 1;
    operator.lie(Lie::Instead(Box::new(move |request| {
        let Call::Append(Append(entries)) = &request.call else {
            return None;
        };
        if reseals(entries) == 0 || allowed > 0 {
            allowed -= reseals(entries).min(1);
            return None;
        }
        Some(Answer::Refused(Refusal::DiskFull))
    })));
    device.run(&[ROTATE]).expect(8);
    operator.be_honest();
    let (before, installs) = sent(&operator);
    device.put("between", b"value");
    device.run(&[ROTATE]).ok();
    let (after, same) = sent(&operator);
    // The part that was refused was sent twice.
    let refused = before - 32;
    assert_eq!((after - before, installs, same), (refused, 1, 1));
    assert_eq!(refused, 8);
    assert_eq!(device.run(&["ls"]).ok().text().lines().count(), 41);
    device.run(&["get between", "get k39", "audit"]).ok();
}

/// Between the look at the log and that at the values, where each value must stay with its secret.
#[test]
fn another_device_may_write_meanwhile() {
    let operator = Operator::start();
    let device = operator.registered("alice");
    let mut client = operator.client("alice");
    for number in 0..40 {
        client
            .put(&format!("k{number}"), format!("value {number}").as_bytes())
            .unwrap();
    }
    let (lie, at, release) = Lie::hold_first(|call| matches!(call, Call::Fetch(_)));
    operator.lie(lie);
    let changed = std::thread::spawn(move || {
        at.recv().unwrap();
        let removed = device.run(&["rm k5 --yes"]);
        let stored = device.run_with(&[], &["put k6 --force"], b"value 6, new");
        let new = device.run_with(&[], &["put new"], b"new");
        drop(release);
        (device, [removed, stored, new])
    });
    client.rotate().unwrap();
    let (device, runs) = changed.join().unwrap();
    for run in runs {
        run.ok();
    }
    operator.be_honest();
    for number in 0..40 {
        let value = match number {
            5 => None,
            6 => Some("value 6, new".to_owned()),
            number => Some(format!("value {number}")),
        };
        let kept = client.get(&format!("k{number}")).unwrap();
        assert_eq!(kept, value.map(String::into_bytes), "k{number}");
    }
    assert_eq!(device.get("new"), b"new");
    let run = device.run(&["get k6 --version 1"]).ok();
    assert_eq!(run.stdout, b"value 6");
    device.run(&["get k5"]).expect(3);
    device.run(&["restore k5", "get k5", "audit"]).ok();
}

#[test]
fn a_crash_in_the_middle_loses_nothing() {
    let (mut server, device, _) = account();
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
