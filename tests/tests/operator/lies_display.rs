//! What a terminal would act upon does not reach it: in metadata, in audit records, in errors.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use serde_bytes::ByteBuf;
use shared::audit_record::{AuditedOperation, MAX_RECORD_LEN, Record};
use shared::codec;
use tests::device::Device;
use tests::operator::Operator;
use tests::operator::ledger::Ledger;
use tests::operator::lie::Lie;

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

fn with_record(operator: &Operator, device: &Device, change: fn(&mut Record)) -> Lie {
    Ledger::lengthened(operator, device, move |records| {
        let decode = |record: &ByteBuf| codec::decode::<Record>(record, MAX_RECORD_LEN).unwrap();
        let last = decode(records.last().unwrap());
        let mut all = records.iter().map(decode);
        let mut hostile = all
            .find(|record| record.operation == AuditedOperation::LoginStart)
            .unwrap();
        hostile.index = last.index + 1;
        hostile.time_ms = last.time_ms;
        change(&mut hostile);
        records.push(hostile.encode().unwrap().into());
    })
}

/// Numbers that only the server chooses: shown, however absurd.
#[test]
fn absurd_times_and_counts_are_shown() {
    let operator = Operator::start();
    let device = operator.registered("alice");
    operator.lie(with_record(&operator, &device, |record| {
        record.time_ms = u64::MAX;
        record.count = u64::MAX;
    }));
    let run = device.run(&["audit --op login_start"]).ok();
    assert!(operator.told() > 0);
    assert!(run.text().contains(&u64::MAX.to_string()), "{run:#?}");
}

/// A text that no honest server writes is refused, and what is said about it is harmless.
#[test]
fn hostile_audit_records_are_refused() {
    let operator = Operator::start();
    let device = operator.registered("alice");
    let lie = with_record(&operator, &device, |record| record.remote = HOSTILE.into());
    operator.lie(lie);
    let run = device.run(&["audit"]).expect(7);
    assert!(operator.told() > 0);
    assert!(run.stderr.contains("malformed"), "{run:#?}");
    assert!(
        run.stdout.is_empty() && is_harmless(&run.stderr),
        "{run:#?}"
    );
}
