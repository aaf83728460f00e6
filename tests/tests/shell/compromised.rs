//! `compromised`: everything that others may know is replaced.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::process::Stdio;
use std::sync::mpsc;

use rexpect::session::spawn_command;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use shared::audit_record::{AuditedOperation, MAX_RECORD_LEN, Record};
use shared::codec;
use shared::vault_log::Op;
use shared::wire::call::{Answer, Append, Call};
use shared::wire::error::Refusal;
use tests::device::{Device, Run};
use tests::operator::ledger::Ledger;
use tests::operator::lie::Lie;
use tests::operator::{Operator, PASSWORD};

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
    device.run_with(&["--json"], &[&line(device)], b"")
}

fn line(device: &Device) -> String {
    format!(
        "compromised --yes --new-password-file {} --recovery-file {}",
        device.path("next").display(),
        device.path("new-sheet").display()
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
        // No test leaves a process behind.
        let mut command = other.command_without_password();
        command.arg("lock");
        tests::device::run(command, b"");
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
    let (lie, at, release) = Lie::hold_first(|call| matches!(call, Call::Enrol(_)));
    operator.lie(lie);
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
    assert_eq!(is_unfinished(&device), false);
    let run = compromised(&device).expect(8);
    assert_eq!(is_unfinished(&device), true);
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
    assert_eq!(is_unfinished(&device), false);
}

/// Whether `status` shows an unfinished re-encryption.
fn is_unfinished(device: &Device) -> Value {
    let run = device.run_with(&["--json"], &["status"], b"").ok();
    let is_shown = device.run(&["status"]).ok().text().contains("re-encrypted");
    let status = run.json().remove(0);
    assert_eq!(status["reencrypting"], is_shown);
    status["reencrypting"].clone()
}

/// Runs `compromised`, and interrupts it when the server gets the first call of this kind.
fn interrupted(operator: &Operator, device: &Device, is_reached: fn(&Call) -> bool) -> Run {
    let (reached, at) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    operator.lie(Lie::Instead(Box::new(move |request| {
        if !is_reached(&request.call) {
            return None;
        }
        reached.send(()).unwrap();
        // Until the client is gone.
        let _ = released.recv();
        Some(Answer::Refused(Refusal::DiskFull))
    })));
    let mut command = device.command();
    command.args(["-c", &line(device)]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let client = command.spawn().unwrap();
    at.recv().unwrap();
    let pid = Pid::from_raw(i32::try_from(client.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let output = client.wait_with_output().unwrap();
    drop(release);
    operator.be_honest();
    Run {
        status: output.status.code().unwrap(),
        stdout: output.stdout,
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn an_interrupt_says_what_is_done_and_what_is_not() {
    let operator = Operator::start();
    let device = account(&operator);
    let pending = device.path("new-sheet.pending");
    let run = interrupted(&operator, &device, |call| matches!(call, Call::Install(_)));
    let run = run.expect(130);
    assert!(run.stderr.contains("it is unknown whether"), "{run:?}");
    assert!(run.stderr.contains("run `compromised` again"), "{run:?}");
    assert!(
        run.stderr.contains(&pending.display().to_string()),
        "{run:?}"
    );
    // The code of that sheet is not valid, and its file does not have the name of one that is.
    assert!(pending.exists() && !device.path("new-sheet").exists());
    compromised(&device).expect(6);
    std::fs::remove_file(&pending).unwrap();
    let is_reseal = |call: &Call| {
        let Call::Append(Append(entries)) = call else {
            return false;
        };
        let op = entries[0].entry.decode_unverified().unwrap().op;
        matches!(op, Op::Reseal(_))
    };
    let run = interrupted(&operator, &device, is_reseal).expect(130);
    assert!(
        run.stderr.contains("not all data are re-encrypted"),
        "{run:?}"
    );
    assert!(
        run.stderr
            .contains("`compromised` with the new password continues"),
        "{run:?}"
    );
    assert!(device.path("new-sheet").exists() && !pending.exists());
    device.set_password(NEXT);
    assert_eq!(is_unfinished(&device), true);
    let run = device.run(&["compromised --yes"]).ok();
    assert!(run.stderr.contains("continuing"), "{run:?}");
    assert_eq!(is_unfinished(&device), false);
}

/// What a person is asked at a terminal: the sheet is announced first, this device is named as such, and a no is no error
/// of the program.
#[test]
fn a_no_changes_nothing() {
    let operator = Operator::start();
    let device = account(&operator);
    device.run(&["devices rename vm", "unlock"]).ok();
    let mut command = device.command();
    command.arg("compromised");
    let mut terminal = spawn_command(command, Some(60_000)).unwrap();
    terminal.exp_string("have pen and paper ready").unwrap();
    terminal
        .exp_string("revoke 1 device (vm, this device)")
        .unwrap();
    terminal.exp_string("[y/N]").unwrap();
    terminal.send("n\r").unwrap();
    terminal.flush().unwrap();
    terminal
        .exp_string("keyshell: nothing was changed")
        .unwrap();
    terminal.exp_eof().unwrap();
    device.run(&["lock", "get read"]).ok();
}
