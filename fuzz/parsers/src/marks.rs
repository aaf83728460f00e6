//! The judgement of a whole audit log: what the owner asked for, and what the server made up.

use std::collections::HashSet;

use keyshell_client::session::ExpectedRecords;
use keyshell_client::vault::audit_verifier::Attribution;
use keyshell_client::vault::audit_verifier::AuditVerifier;
use shared::audit_record::{
    AuditedOperation, MANY_ADDRESSES, Outcome, RECORD_FORMAT, Record, TagInput,
};
use shared::ids::{DeviceId, RequestTag, SecretId, SessionId};

use crate::cursor::Cursor;
use crate::world::keys;

/// Judges a log of records that the script makes up, some of them with the owner's mark. Only what carries it is the
/// owner's, once, and after a login.
pub(crate) fn audit_marks(data: &[u8]) {
    let mut script = Cursor::new(data);
    let asked = ExpectedRecords {
        session: session(0),
        records: vec![1; usize::from(script.choice(3))],
    };
    let mut verifier = AuditVerifier::new(vec![keys().request_tag()], asked);
    let (mut own, mut opened) = (HashSet::new(), HashSet::new());
    let mut index = 0;
    while !script.is_empty() {
        let (record, is_marked) = record(index, &mut script);
        let Ok(mark) = verifier.verify(&record) else {
            break;
        };
        index += 1;
        let place = (record.session, record.counter, record.position);
        match mark {
            Attribution::Own => {
                assert!(is_marked && own.insert(place));
                assert!(opened.contains(&record.session));
            }
            Attribution::Forged => {}
            Attribution::OutsideSession => assert!(!record.operation.needs_tag()),
            Attribution::Unconfirmed => {
                assert_eq!(record.operation, AuditedOperation::Login);
                assert!(opened.insert(record.session));
            }
        }
    }
    for number in 0..4 {
        let used = own.iter().any(|(id, _, _)| *id == Some(session(number)));
        assert_eq!(verifier.confirms(&session(number)), used);
    }
    assert!(verifier.unconfirmed() <= opened.len());
    let _ = verifier.check_complete(&[].into());
}

fn session(number: u8) -> SessionId {
    SessionId::new([number; 16])
}

/// A record, and whether it carries the owner's mark.
fn record(index: u64, script: &mut Cursor<'_>) -> (Record, bool) {
    let kind = script.byte();
    let odd = script.byte();
    let has = |bit: u8| odd >> bit & 1 == 0;
    let operation = match kind % 8 {
        _ if index == 0 => AuditedOperation::Register,
        0 => AuditedOperation::LoginStart,
        1 | 2 => AuditedOperation::Login,
        3 => AuditedOperation::Put,
        4 => AuditedOperation::Logout,
        5 => AuditedOperation::Sync,
        _ => AuditedOperation::Get,
    };
    let inside = operation.needs_tag();
    let (id, device) = (session(kind >> 6), DeviceId::new([kind >> 5; 16]));
    let secret = SecretId::new([kind >> 4; 16]);
    let mut record = Record {
        format: RECORD_FORMAT,
        index,
        time_ms: u64::from(kind >> 7),
        operation,
        secret: (inside && has(0)).then_some(secret),
        outcome: if has(1) {
            Outcome::Done
        } else {
            Outcome::Refused
        },
        session: (has(2) && operation != AuditedOperation::Register).then_some(id),
        counter: if inside { counter(script) } else { 0 },
        position: if inside {
            u32::from(script.choice(4))
        } else {
            0
        },
        device: (inside && has(3)).then_some(device),
        remote: "192.0.2.1".into(),
        tag: None,
        count: 1,
    };
    if operation == AuditedOperation::LoginStart && !has(4) {
        record.remote = MANY_ADDRESSES.into();
        record.count = script.number();
    }
    let is_marked = inside && has(5) && mark(&mut record);
    if inside && !has(5) {
        record.tag = Some(RequestTag::new([kind; 32]));
    }
    if !has(6) {
        record.index = script.number();
        record.time_ms = script.number();
    }
    (record, is_marked)
}

fn counter(script: &mut Cursor<'_>) -> u64 {
    match script.byte() {
        255 => script.number(),
        small => u64::from(small % 8),
    }
}

/// Whether it could be given one.
fn mark(record: &mut Record) -> bool {
    let (Some(session), Some(device)) = (&record.session, &record.device) else {
        return false;
    };
    let marked = TagInput {
        session,
        counter: record.counter,
        position: record.position,
        device,
        operation: record.operation,
        secret: record.secret.as_ref(),
    };
    record.tag = Some(marked.tag(&keys().request_tag()));
    true
}
