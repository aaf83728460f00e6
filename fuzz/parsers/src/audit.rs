//! Audit records, and the file that proves some of them offline.

use shared::vault_log::FIRST_EPOCH;
use std::collections::BTreeMap;

use keyshell_client::device::pins::{Pins, ServerPins};
use keyshell_client::vault::audit::{AuditLog, VerifiedRecord};
use keyshell_client::vault::audit_verifier::Attribution;
use keyshell_client::vault::evidence::Evidence;
use serde_bytes::ByteBuf;
use shared::audit_record::{
    AuditedOperation, MAX_RECORD_LEN, Outcome, RECORD_FORMAT, Record, TagInput,
};
use shared::checkpoint::{self, TreeHead};
use shared::ids::{AccountId, DeviceId, RequestTag, SecretId, SessionId};
use shared::merkle::Frontier;

use crate::cursor::Cursor;
use crate::wire::canonical;
use crate::world::{ACCOUNT, SERVER, checkpoint_key, identity, keys};

/// A record is its bytes; a mark is good for one operation.
pub(crate) fn audit_record(data: &[u8]) {
    let Some(record) = canonical::<Record>(data, MAX_RECORD_LEN) else {
        return;
    };
    assert_eq!(record.encode().unwrap(), data);
    let name = serde_json::to_value(record.operation).unwrap();
    assert_eq!(name, record.operation.name());
    assert_eq!(
        AuditedOperation::named(record.operation.name()),
        Some(record.operation)
    );
    let (Some(session), Some(device)) = (&record.session, &record.device) else {
        return;
    };
    let key = keys().request_tag();
    let marked = TagInput {
        session,
        counter: record.counter,
        position: record.position,
        device,
        operation: record.operation,
        secret: record.secret.as_ref(),
    };
    let tag = marked.tag(&key);
    let others = [
        TagInput {
            counter: record.counter ^ 1,
            ..marked
        },
        TagInput {
            position: record.position ^ 1,
            ..marked
        },
        TagInput {
            secret: match record.secret {
                Some(_) => None,
                None => Some(&crate::world::SECRET),
            },
            ..marked
        },
    ];
    assert!(others.iter().all(|other| other.tag(&key) != tag));
}

/// A file that verifies says the same when it is written and read again; one that is altered says it, or nothing.
pub(crate) fn audit_file(data: &[u8]) {
    let mut script = Cursor::new(data);
    if script.choice(2) == 0 {
        let _ = verified(script.rest());
        return;
    }
    let file = made_up(&mut script);
    let genuine = verified(&file).expect("a genuine file verifies");
    let mut altered = file.clone();
    for _ in 0..=script.choice(3) {
        let place = usize::try_from(script.number()).unwrap() % altered.len();
        altered[place] ^= script.byte();
    }
    if let Some((head, records)) = verified(&altered) {
        assert_eq!(head, genuine.0);
        let known: BTreeMap<u64, &Record> = genuine.1.iter().map(|r| (r.index, r)).collect();
        for record in &records {
            assert_eq!(known.get(&record.index), Some(&record));
        }
    }
}

fn verified(file: &[u8]) -> Option<(TreeHead, Vec<Record>)> {
    let evidence = Evidence::parse(file).ok()?;
    let json = serde_json::to_vec(&evidence).unwrap();
    let again = Evidence::parse(&json).unwrap();
    assert_eq!(serde_json::to_vec(&again).unwrap(), json);
    let (head, records) = evidence.verify().ok()?;
    assert_eq!(again.verify().unwrap(), (head, records.clone()));
    assert_eq!(records.len(), evidence.records.len());
    assert!(records.iter().all(|record| record.index < head.size));
    let mut other = evidence;
    other.account = AccountId::new([1; 16]);
    assert!(other.verify().is_err());
    Some((head, records))
}

/// The file of some records of a log that the script makes up.
fn made_up(script: &mut Cursor<'_>) -> Vec<u8> {
    let size = 1 + script.choice(9);
    let mut tree = Frontier::new();
    let (mut records, mut leaves) = (Vec::new(), Vec::new());
    for index in 0..u64::from(size) {
        let record = record(index, script);
        let encoded = record.encode().unwrap();
        let leaf = Record::leaf_hash(&encoded);
        tree.push(leaf);
        leaves.push(leaf);
        if script.choice(2) == 1 {
            records.push(VerifiedRecord {
                record,
                encoded: ByteBuf::from(encoded),
                attribution: Attribution::OutsideSession,
                ordinal: 0,
            });
        }
    }
    let head = TreeHead {
        size: tree.size(),
        root: tree.root(),
    };
    let log = AuditLog {
        records,
        forged: 0,
        unconfirmed: 0,
        gaps: 0,
        leaves,
        head,
        checkpoint: checkpoint::sign(&checkpoint_key(), &SERVER, &ACCOUNT, &head),
    };
    let pins = Pins::new(ServerPins::from(&identity()), ACCOUNT, FIRST_EPOCH);
    let evidence = Evidence::new(&log, &pins).unwrap();
    assert!(evidence.is_known(&pins, head).unwrap());
    serde_json::to_vec(&evidence).unwrap()
}

fn record(index: u64, script: &mut Cursor<'_>) -> Record {
    let present = script.byte();
    let has = |bit: u8| present >> bit & 1 == 1;
    Record {
        format: RECORD_FORMAT,
        index,
        time_ms: script.number(),
        operation: if has(0) {
            AuditedOperation::Get
        } else {
            AuditedOperation::LoginStart
        },
        secret: has(1).then(|| SecretId::new(script.array())),
        outcome: Outcome::Done,
        session: has(2).then(|| SessionId::new(script.array())),
        counter: u64::from(script.byte()),
        position: 0,
        device: has(3).then(|| DeviceId::new(script.array())),
        remote: "192.0.2.1".into(),
        tag: has(4).then(|| RequestTag::new(script.array())),
        count: 1,
    }
}
