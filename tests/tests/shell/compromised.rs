//! `compromised`: everything that others may know is replaced.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::mpsc;

use shared::audit_record::{AuditedOperation, MAX_RECORD_LEN, Record};
use shared::codec;
use shared::vault_log::Op;
use shared::wire::call::{Answer, Append, Call};
use shared::wire::error::Refusal;
use tests::device::{Device, Run};
use tests::operator::ledger::Ledger;
use tests::operator::lie::Lie;
use tests::operator::{Operator, PASSWORD};
use tokio::sync::oneshot;

const NEXT: &str = "seven velvet otters hum";

fn account(operator: &Operator) -> Device {
    let device = operator.device("alice");
    let sheet = device.path("sheet");
    device
        .run(&[&format!("register --recovery-file {}", sheet.display())])
        .ok();
    device.put("read", b"value");
    device.put("unread", b"value");
    std::fs::write(device.path("next"), format!("{NEXT}\n")).unwrap();
    device
}

fn compromised(device: &Device) -> Run {
    device.run_with(
        &["--json"],
        &[&format!(
            "compromised --yes --new-password-file {} --recovery-file {}",
            device.path("next").display(),
            device.path("new-sheet").display()
        )],
        b"",
    )
}

#[test]
fn whatever_others_know_opens_nothing_any_more() {
    let operator = Operator::start();
    let device = account(&operator);
    let stolen = device.another(PASSWORD);
    stolen
        .run(&["devices rename 'the phone'", "unlock", "get read"])
        .ok();
    let run = compromised(&device).ok();
    let report = run.json().pop().unwrap();
    assert_eq!(report["forged"], 0, "{report}");
    let read = report["read"].as_array().unwrap();
    assert_eq!(read.len(), 1, "{report}");
    assert_eq!(
        (&read[0]["name"], &read[0]["reads"]),
        (&"read".into(), &1.into())
    );
    assert_eq!(read[0]["devices"][0], "the phone");
    // The device, the password, the code.
    opens_nothing(&device, &[&stolen]);
    let by_code = |sheet: &str| {
        let fresh = device.another("unknown");
        std::fs::write(fresh.path("next"), "a third of its kind, purple\n").unwrap();
        fresh.run(&[&format!(
            "recover --code-file {} --new-password-file {}",
            device.path(sheet).display(),
            fresh.path("next").display()
        )])
    };
    by_code("sheet").expect(4);
    // The owner.
    device.set_password(NEXT);
    assert_eq!(device.get("read"), b"value");
    device.run(&["audit"]).ok();
    by_code("new-sheet").ok();
}

/// Refuses to store what is re-encrypted.
fn full_disk() -> Lie {
    Lie::Instead(Box::new(|request| {
        let Call::Append(Append(entries)) = &request.call else {
            return None;
        };
        let op = entries.first()?.entry.decode_unverified().ok()?.op;
        matches!(op, Op::Reseal(_)).then_some(Answer::Refused(Refusal::DiskFull))
    }))
}

/// The devices that are not the owner's, and a password that others know.
fn opens_nothing(device: &Device, others: &[&Device]) {
    for other in others {
        let mut command = other.command_without_password();
        command.args(["--non-interactive", "-c", "get read"]);
        assert_ne!(tests::device::run(command, b"").status, 0);
    }
    device.another(PASSWORD).run(&["ls"]).expect(4);
}

/// The account key is being replaced already, but not because of what others know.
#[test]
fn a_rotation_that_was_broken_off_is_no_reason_to_keep_a_credential() {
    let operator = Operator::start();
    let device = account(&operator);
    let stolen = device.another(PASSWORD);
    stolen.run(&["unlock"]).ok();
    operator.lie(full_disk());
    device.run(&["rotate-key --yes"]).expect(8);
    operator.be_honest();
    compromised(&device).ok();
    opens_nothing(&device, &[&stolen]);
    device.set_password(NEXT);
    assert_eq!(device.get("unread"), b"value");
}

/// Between the question and the installation.
#[test]
fn a_device_that_logs_in_meanwhile_keeps_no_credential() {
    let operator = Operator::start();
    let device = account(&operator);
    let stolen = device.another(PASSWORD);
    let (reached, at) = mpsc::channel();
    let (release, waits) = oneshot::channel();
    let mut waits = Some(waits);
    operator.lie(Lie::Hold(Box::new(move |request| {
        let Call::Enrol(_) = request.call else {
            return None;
        };
        let first = waits.take()?;
        reached.send(()).unwrap();
        Some(first)
    })));
    let unlocked = std::thread::spawn(move || {
        at.recv().unwrap();
        let run = stolen.run(&["unlock", "get read"]);
        drop(release);
        (stolen, run)
    });
    let run = compromised(&device);
    let (stolen, unlocked) = unlocked.join().unwrap();
    unlocked.ok();
    run.ok();
    opens_nothing(&device, &[&stolen]);
    device.set_password(NEXT);
    assert_eq!(device.get("read"), b"value");
}

/// The report says so, and still lists what was read.
#[test]
fn records_that_the_server_made_up_hide_no_read() {
    let operator = Operator::start();
    let device = account(&operator);
    device.run(&["get read"]).ok();
    let lie = Ledger::lengthened(&operator, &device, |records| {
        let encoded = records.iter().find(|record| {
            let record: Record = codec::decode(record, MAX_RECORD_LEN).unwrap();
            record.operation == AuditedOperation::Get
        });
        let mut record: Record = codec::decode(encoded.unwrap(), MAX_RECORD_LEN).unwrap();
        // As if this device had re-encrypted in the session that read the secret.
        record.operation = AuditedOperation::Reseal;
        record.index = u64::try_from(records.len()).unwrap();
        let last: Record = codec::decode(records.last().unwrap(), MAX_RECORD_LEN).unwrap();
        record.time_ms = last.time_ms;
        records.push(record.encode().unwrap().into());
    });
    operator.lie(lie);
    let said = compromised(&device).expect(7).json();
    let report = said.iter().find(|object| object.get("read").is_some());
    let report = report.unwrap();
    assert_eq!(report["forged"], 1, "{report}");
    assert_eq!(report["read"][0]["name"], "read", "{report}");
}

#[test]
fn the_old_password_is_no_new_one() {
    let operator = Operator::start();
    let device = account(&operator);
    std::fs::write(device.path("next"), format!("{PASSWORD}\n")).unwrap();
    let run = compromised(&device).expect(2);
    assert!(run.text().contains("choose another"), "{run:?}");
    assert!(!device.path("new-sheet").exists());
    device.run(&["get read"]).ok();
}

#[test]
fn what_was_interrupted_goes_on() {
    let operator = Operator::start();
    let device = account(&operator);
    operator.lie(full_disk());
    let run = compromised(&device).expect(8);
    // The new sheet and password are in force.
    assert!(device.path("new-sheet").exists(), "{run:?}");
    operator.be_honest();
    device.set_password(NEXT);
    let installs = |operator: &Operator| {
        let calls = operator.calls();
        calls
            .iter()
            .filter(|call| matches!(call, Call::Install(_)))
            .count()
    };
    let before = installs(&operator);
    let run = device.run(&["compromised --yes"]).ok();
    assert!(run.stderr.contains("continuing"), "{run:?}");
    assert_eq!(installs(&operator), before);
    assert_eq!(device.get("unread"), b"value");
}
