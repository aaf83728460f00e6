//! `compromised`: everything that others may know is replaced.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use shared::vault_log::Op;
use shared::wire::call::{Answer, Append, Call};
use shared::wire::error::Refusal;
use tests::device::{Device, Run};
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
    let mut command = stolen.command_without_password();
    command.args(["--non-interactive", "-c", "get read"]);
    assert_ne!(tests::device::run(command, b"").status, 0);
    device.another(PASSWORD).run(&["ls"]).expect(4);
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
    operator.lie(Lie::Instead(Box::new(|request| {
        let Call::Append(Append(entries)) = &request.call else {
            return None;
        };
        let op = entries.first()?.entry.decode_unverified().ok()?.op;
        matches!(op, Op::Reseal(_)).then_some(Answer::Refused(Refusal::DiskFull))
    })));
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
