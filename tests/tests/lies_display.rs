//! What a terminal would act upon does not reach it: in metadata, in audit records, in errors.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use shared::audit_record::{MAX_RECORD_LEN, Record};
use shared::codec;
use tests::operator::Operator;
use tests::operator::ledger::Ledger;

const HOSTILE: &str = "\u{1b}]52;c;ZXZpbA==\u{7}\u{1b}[2J\u{9b}31m\u{202e}evil";

fn is_harmless(text: &str) -> bool {
    text.chars()
        .all(|c| c == '\n' || !(c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c)))
}

#[test]
fn hostile_metadata_are_shown_escaped() {
    assert!(!is_harmless(HOSTILE));
    let operator = Operator::start();
    let device = operator.registered("alice");
    let put = format!("put k --note '{HOSTILE}' --tag '{HOSTILE}'");
    device.run_with(&[], &[&put], b"value").ok();
    for line in ["ls", "ls --long", "info k", "history k", "audit", "status"] {
        let run = device.run(&[line]).ok();
        let stdout = run.text();
        assert!(is_harmless(&stdout) && is_harmless(&run.stderr), "{run:#?}");
    }
    let run = device.run(&["info k"]).ok();
    assert!(run.text().contains("evil"), "shown, but escaped: {run:#?}");
    let run = device.run(&[&format!("get '{HOSTILE}'")]).expect(2);
    assert!(is_harmless(&run.stderr), "{run:#?}");
}

/// Texts and numbers that only the server chooses.
#[test]
fn hostile_audit_records_are_shown_escaped() {
    let operator = Operator::start();
    let device = operator.registered("alice");
    let ledger = Ledger::of(&operator, &device, |records| {
        let index = u64::try_from(records.len()).unwrap();
        let first: Record = codec::decode(&records[0], MAX_RECORD_LEN).unwrap();
        let hostile = Record {
            index,
            time_ms: u64::MAX,
            count: u64::MAX,
            counter: u64::MAX,
            position: u32::MAX,
            remote: HOSTILE.into(),
            ..first
        };
        records.push(hostile.encode().unwrap().into());
    });
    operator.lie(ledger.shown());
    let run = device.run(&["audit"]).ok();
    assert!(operator.told() > 0);
    let stdout = run.text();
    assert!(stdout.contains("evil"), "{run:#?}");
    assert!(is_harmless(&stdout), "{run:#?}");
    assert!(stdout.contains(&u64::MAX.to_string()), "{run:#?}");
}
