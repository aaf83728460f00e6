//! The attribution of a whole audit log: what the owner asked for, and what the server made up.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use ed25519_dalek::SigningKey;
use keyshell_client::index::Index;
use keyshell_client::session::ExpectedRecords;
use keyshell_client::vault::audit_verifier::Attribution;
use keyshell_client::vault::audit_verifier::AuditVerifier;
use shared::audit_record::{AuditedOperation, MANY_ADDRESSES, Outcome, RECORD_FORMAT, Record};
use shared::ids::{DeviceId, Digest, SecretId, SessionId, Signature};
use shared::opaque::Slot;
use shared::request::{Opening, SignedOperation};
use shared::wire::call::LoggedEntry;

use crate::cursor::Cursor;
use crate::server::registration_entries;
use crate::world::{ACCOUNT, DEVICE, GENERATION, keys, slot_keys};

/// The vault log of an account that was just registered.
static REGISTERED: LazyLock<Index> = LazyLock::new(|| {
    let mut index = Index::new();
    for entry in registration_entries() {
        let logged = LoggedEntry {
            entry,
            metadata: None,
        };
        index.replay(&keys(), &logged).unwrap();
    }
    index
});

/// The signing keys of password and recovery code.
static SIGNING: LazyLock<[SigningKey; 2]> =
    LazyLock::new(|| [Slot::Password, Slot::Recovery].map(|slot| slot_keys(slot).signing()));

/// Signatures are slow.
const MAX_RECORDS: u64 = 64;

/// What there should be.
#[derive(Default)]
struct Model {
    /// Sessions with a login.
    opened: HashSet<SessionId>,
    /// Sessions whose device a credential has certified.
    certified: HashSet<SessionId>,
    /// Counter and position of the newest record of each session that was the owner's.
    newest: HashMap<SessionId, (u64, u32)>,
    entries: HashSet<Digest>,
}

/// What is right with a record.
struct Made {
    is_signed: bool,
    /// Whether its opening is good; `None` where it has none.
    opening: Option<bool>,
}

/// Attributes a log of records that the script makes up, some of them signed by the owner's device. Only what carries a
/// signature in its turn, in a session that a credential opened, is the owner's.
pub(crate) fn audit_marks(data: &[u8]) {
    let mut script = Cursor::new(data);
    let asked = ExpectedRecords {
        session: session(0),
        records: vec![1; usize::from(script.choice(3))],
    };
    let verifier = || AuditVerifier::new(ACCOUNT, REGISTERED.credentials(), asked.clone());
    let (mut single, mut model) = (verifier(), Model::default());
    let (mut records, mut attributions) = (Vec::new(), Vec::new());
    while !script.is_empty() {
        let index = u64::try_from(records.len()).unwrap();
        if index == MAX_RECORDS {
            break;
        }
        let (record, made) = record(index, &mut script);
        let Ok(attributed) = single.verify(std::slice::from_ref(&record)) else {
            break;
        };
        model.check(&record, &made, attributed[0]);
        attributions.extend(attributed);
        records.push(record);
    }
    let mut batch = verifier();
    assert_eq!(batch.verify(&records).unwrap(), attributions);
    for number in 0..4 {
        let id = session(number);
        assert_eq!(single.confirms(&id), model.newest.contains_key(&id));
    }
    assert!(single.unconfirmed() <= model.opened.len());
    assert_eq!(
        single.check_complete(&[], &[]),
        batch.check_complete(&[], &[])
    );
    assert_eq!(single.withheld(&[]).is_some(), !model.entries.is_empty());
}

impl Model {
    fn check(&mut self, record: &Record, made: &Made, attribution: Attribution) {
        let operation = record.operation;
        let Some(session) = record.session.filter(|_| operation.is_signed()) else {
            return self.check_outside(record, attribution);
        };
        if made.opening == Some(true) {
            self.certified.insert(session);
        }
        let place = (record.counter, record.position);
        let is_next = self
            .newest
            .get(&session)
            .is_none_or(|newest| *newest < place);
        let is_own = made.is_signed
            && record.counter > 0
            && made.opening != Some(false)
            && self.certified.contains(&session)
            && is_next;
        if is_own {
            self.newest.insert(session, place);
        }
        let appended = record.entry.filter(|_| record.outcome == Outcome::Done);
        let is_again = is_own && appended.is_some_and(|entry| !self.entries.insert(entry));
        let expected = if is_own && !is_again {
            Attribution::Own
        } else {
            Attribution::Forged
        };
        assert_eq!(attribution, expected, "{record:?}");
        assert!(!is_own || self.opened.contains(&session));
    }

    fn check_outside(&mut self, record: &Record, attribution: Attribution) {
        match (attribution, record.session) {
            (Attribution::Unconfirmed, Some(session)) => {
                assert_eq!(record.operation, AuditedOperation::Login);
                assert!(self.opened.insert(session));
            }
            (Attribution::Forged, Some(session)) => assert!(!self.opened.insert(session)),
            (Attribution::OutsideSession, None) => assert!(!record.operation.is_signed()),
            _ => panic!("{record:?} is {attribution:?}"),
        }
    }
}

fn session(number: u8) -> SessionId {
    SessionId::new([number; 16])
}

/// A record, and what is right with it.
fn record(index: u64, script: &mut Cursor<'_>) -> (Record, Made) {
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
    let inside = operation.is_signed();
    let id = session(kind >> 6);
    let device = if has(3) {
        DEVICE.id()
    } else {
        DeviceId::new([kind >> 5; 16])
    };
    let secret = SecretId::new([kind >> 4; 16]);
    let entry = Digest::new([kind >> 5; 32]);
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
        device: inside.then_some(device),
        remote: "192.0.2.1".into(),
        signature: None,
        entry: (operation == AuditedOperation::Put).then_some(entry),
        opening: None,
        count: 1,
    };
    if operation == AuditedOperation::LoginStart && !has(4) {
        record.remote = MANY_ADDRESSES.into();
        record.count = script.number();
    }
    let opening = (inside && has(7)).then(|| opening(&mut record, script.byte()));
    let is_signed = inside && sign(&mut record, has(5)) && has(3);
    if !has(6) {
        record.index = script.number();
        record.time_ms = script.number();
    }
    (record, Made { is_signed, opening })
}

fn counter(script: &mut Cursor<'_>) -> u64 {
    match script.byte() {
        255 => script.number(),
        small => u64::from(small % 8),
    }
}

/// Gives a record an opening; returns whether that is one by which the owner's credential certifies the device.
fn opening(record: &mut Record, how: u8) -> bool {
    let session = record.session.unwrap_or_else(|| session(9));
    let generation = GENERATION + u64::from(how & 1);
    let key = &SIGNING[usize::from(how >> 1 & 1)];
    let device = DEVICE.public();
    let by = (Slot::Password, generation);
    let mut opening = Opening::sign(&ACCOUNT, &session, by, device, key);
    if how & 4 != 0 {
        opening.certificate = Signature::new([how; 64]);
    }
    record.opening = Some(opening);
    how.trailing_zeros() >= 3
}

/// Signs the record, or gives it a wrong signature; returns whether it is a good one.
fn sign(record: &mut Record, is_good: bool) -> bool {
    record.signature = Some(Signature::new([7; 64]));
    let Some(operation) = SignedOperation::of(&ACCOUNT, record).filter(|_| is_good) else {
        return false;
    };
    record.signature = Some(operation.sign(&DEVICE.signing()));
    true
}
