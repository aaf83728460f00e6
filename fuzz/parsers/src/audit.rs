//! Audit records, and the file that proves some of them offline.

use shared::vault_log::FIRST_EPOCH;
use std::collections::BTreeMap;

use keyshell_client::device::pins::{Pins, ServerPins};
use keyshell_client::vault::audit::{AuditLog, VerifiedRecord};
use keyshell_client::vault::audit_verifier::Attribution;
use keyshell_client::vault::evidence::Evidence;
use serde_bytes::ByteBuf;
use shared::audit_record::{AuditedOperation, MAX_RECORD_LEN, Outcome, RECORD_FORMAT, Record};
use shared::checkpoint::{self, TreeHead};
use shared::ids::{AccountId, DeviceId, Digest, PublicKey, SecretId, SessionId, Signature};
use shared::merkle::Frontier;
use shared::opaque::Slot;
use shared::request::{Opening, SignedOperation, verify};

use crate::cursor::Cursor;
use crate::wire::canonical;
use crate::world::{ACCOUNT, DEVICE, SECRET, SERVER, checkpoint_key, identity};

/// A record is its bytes; a signature is good for one operation, a certificate for one device in one session.
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
    let Some(operation) = SignedOperation::of(&ACCOUNT, &record) else {
        assert_eq!(record.session, None);
        return;
    };
    let signature = operation.sign(&DEVICE.signing());
    let verifies = |operation: &SignedOperation<'_>| {
        verify(&DEVICE.public(), &operation.message(), &signature)
    };
    assert!(verifies(&operation));
    let others = [
        SignedOperation {
            counter: record.counter ^ 1,
            ..operation
        },
        SignedOperation {
            position: record.position ^ 1,
            ..operation
        },
        SignedOperation {
            secret: match record.secret {
                Some(_) => None,
                None => Some(&SECRET),
            },
            ..operation
        },
        SignedOperation {
            entry: None,
            secret: None,
            ..operation
        },
    ];
    let others = others.iter().filter(|other| **other != operation);
    assert!(others.into_iter().all(|other| !verifies(other)));
    if let (Some(opening), Some(session)) = (&record.opening, &record.session) {
        check_opening(opening, session);
    }
}

/// A certificate is good for one device's key in one session, by one credential.
pub(crate) fn check_opening(opening: &Opening, session: &SessionId) {
    let key = DEVICE.signing();
    let by = (opening.slot, opening.generation);
    let own = Opening::sign(&ACCOUNT, session, by, opening.device, &key);
    assert!(own.is_signed_by(&ACCOUNT, session, &DEVICE.public()));
    assert!(!own.is_signed_by(&AccountId::new([1; 16]), session, &DEVICE.public()));
    let other = Opening {
        generation: own.generation ^ 1,
        ..own.clone()
    };
    assert!(!other.is_signed_by(&ACCOUNT, session, &DEVICE.public()));
    if opening.is_signed_by(&ACCOUNT, session, &DEVICE.public()) {
        assert_eq!(own, *opening);
    }
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
        signature: has(4).then(|| Signature::new(script.array())),
        entry: has(5).then(|| Digest::new(script.array())),
        opening: has(6).then(|| Opening {
            slot: Slot::Password,
            generation: script.number(),
            device: PublicKey::new(script.array()),
            certificate: Signature::new(script.array()),
        }),
        count: 1,
    }
}
