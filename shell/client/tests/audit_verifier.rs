//! Attribution of audit records: the owner's, forged, or missing.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{ACCOUNT, Owner};
use ed25519_dalek::SigningKey;
use keyshell_client::device::pins::UsedSession;
use keyshell_client::session::ExpectedRecords;
use keyshell_client::vault::audit_verifier::Attribution::{
    self, Forged, OutsideSession, Own, Unconfirmed,
};
use keyshell_client::vault::audit_verifier::AuditVerifier;
use keyshell_client::verification::VerificationError;
use shared::audit_record::{AuditedOperation, MANY_ADDRESSES, Outcome, RECORD_FORMAT, Record};
use shared::ids::{DeviceId, Digest, PublicKey, SecretId, Seq, SessionId};
use shared::opaque::Slot;
use shared::request::{Opening, SignedOperation};

const OTHER: DeviceId = DeviceId::new([2; 16]);
const SECRET: SecretId = SecretId::new([3; 16]);
const OURS: SessionId = SessionId::new([4; 16]);
const THEIRS: SessionId = SessionId::new([5; 16]);

/// An audit log in the making, whose requests this owner's device signs.
#[derive(Clone)]
struct Log {
    owner: Owner,
    records: Vec<Record>,
}

impl Log {
    fn registered() -> Self {
        Self::of(Owner::registered())
    }

    fn of(owner: Owner) -> Self {
        let mut log = Self {
            owner,
            records: Vec::new(),
        };
        log.push(AuditedOperation::Register, None);
        log
    }

    fn push(&mut self, operation: AuditedOperation, session: Option<SessionId>) -> &mut Record {
        self.records.push(Record {
            format: RECORD_FORMAT,
            index: self.records.len().try_into().unwrap(),
            time_ms: 1,
            operation,
            secret: None,
            outcome: Outcome::Done,
            session,
            counter: 0,
            position: 0,
            device: None,
            remote: "127.0.0.1".into(),
            signature: None,
            entry: None,
            opening: None,
            count: 1,
        });
        self.last()
    }

    fn last(&mut self) -> &mut Record {
        self.records.last_mut().unwrap()
    }

    fn logged_in(mut self, session: SessionId) -> Self {
        self.push(AuditedOperation::Login, Some(session));
        self
    }

    /// The authorisation of the owner's device by a credential.
    fn opening(&self, session: SessionId, slot: Slot, generation: u64) -> Opening {
        Opening::sign(
            &ACCOUNT,
            &session,
            (slot, generation),
            self.owner.device.public(),
            &self.owner.slot_keys(slot, generation).signing(),
        )
    }

    /// Changes the newest record and signs it again.
    fn signed_as(mut self, change: impl FnOnce(&mut Record)) -> Self {
        let key = self.owner.device.signing();
        change(self.last());
        let signature = SignedOperation::of(&ACCOUNT, self.last())
            .unwrap()
            .sign(&key);
        self.last().signature = Some(signature);
        self
    }

    /// A request without an opening.
    fn asked_on(
        mut self,
        session: SessionId,
        place: (u64, u32),
        operation: AuditedOperation,
    ) -> Self {
        let device = self.owner.device.id();
        let record = self.push(operation, Some(session));
        record.device = Some(device);
        record.secret = Some(SECRET);
        self.signed_as(|record| (record.counter, record.position) = place)
    }

    /// A request; the first ones of a session carry an opening by the password.
    fn asked(self, session: SessionId, place: (u64, u32), operation: AuditedOperation) -> Self {
        let mut requests = self.records.iter();
        let is_first = !requests
            .any(|record| record.session == Some(session) && record.counter != 0)
            || place.0 == 1;
        let opening = is_first.then(|| self.opening(session, Slot::Password, 1));
        let mut log = self.asked_on(session, place, operation);
        log.last().opening = opening;
        log
    }

    fn verifier(&self, asked: &[usize]) -> AuditVerifier {
        let asked = ExpectedRecords {
            session: OURS,
            records: asked.to_vec(),
        };
        AuditVerifier::new(ACCOUNT, self.owner.index.credentials(), asked)
    }

    /// Attributions and verifier, where `asked` are the records of the running session's requests. The size of the
    /// batches makes no difference.
    fn verified(&self, asked: &[usize]) -> (Vec<Attribution>, AuditVerifier) {
        let mut verifier = self.verifier(asked);
        let attributions = verifier.verify(&self.records).unwrap();
        for size in 1..self.records.len() {
            let mut paged = self.verifier(asked);
            let chunks = self.records.chunks(size);
            let same: Vec<_> = chunks
                .flat_map(|page| paged.verify(page).unwrap())
                .collect();
            assert_eq!(same, attributions, "pages of {size}");
        }
        (attributions, verifier)
    }

    fn newest(&self) -> Attribution {
        *self.verified(&[]).0.last().unwrap()
    }
}

#[test]
fn requests_in_their_turn_are_the_owners() {
    let log = Log::registered()
        .logged_in(THEIRS)
        .asked(THEIRS, (1, 0), AuditedOperation::Sync)
        .asked(THEIRS, (2, 0), AuditedOperation::Get)
        .asked(THEIRS, (2, 1), AuditedOperation::Get)
        .asked(THEIRS, (3, 0), AuditedOperation::Logout);
    let (attributions, verifier) = log.verified(&[]);
    let expected = [OutsideSession, Unconfirmed, Own, Own, Own, Own];
    assert_eq!(attributions, expected);
    assert!(verifier.confirms(&THEIRS));
    assert_eq!((verifier.gaps(), verifier.unconfirmed()), (0, 0));
}

#[test]
fn replayed_or_late_records_are_forged() {
    for place in [(1, 0), (2, 0)] {
        let log = Log::registered()
            .logged_in(THEIRS)
            .asked(THEIRS, (1, 0), AuditedOperation::Sync)
            .asked(THEIRS, (2, 0), AuditedOperation::Get)
            .asked(THEIRS, place, AuditedOperation::Get);
        assert_eq!(log.newest(), Forged, "{place:?}");
    }
    // A second login of the same session, before or after it did something.
    let early = Log::registered().logged_in(THEIRS).logged_in(THEIRS);
    let late = Log::registered()
        .logged_in(THEIRS)
        .asked(THEIRS, (1, 0), AuditedOperation::Sync)
        .logged_in(THEIRS);
    for log in [early, late] {
        assert_eq!(log.newest(), Forged);
    }
}

#[test]
fn signatures_are_bound_to_everything_they_sign() {
    let changes: [fn(&mut Record); 8] = [
        |record| record.counter = 3,
        |record| record.position = 1,
        |record| record.device = Some(OTHER),
        |record| record.device = None,
        |record| record.secret = None,
        |record| record.operation = AuditedOperation::Remove,
        |record| record.entry = Some(Digest::of(b"entry")),
        |record| record.signature = None,
    ];
    let log = || {
        Log::registered()
            .logged_in(THEIRS)
            .asked(THEIRS, (1, 0), AuditedOperation::Sync)
            .asked(THEIRS, (2, 0), AuditedOperation::Get)
    };
    assert_eq!(log().newest(), Own);
    for (number, change) in changes.into_iter().enumerate() {
        let mut log = log();
        change(log.last());
        assert_eq!(log.newest(), Forged, "{number}");
    }
    // The signature of one session in another.
    let mut log = log()
        .logged_in(OURS)
        .asked(OURS, (1, 0), AuditedOperation::Sync)
        .asked(THEIRS, (3, 0), AuditedOperation::Get);
    log.last().session = Some(OURS);
    assert_eq!(log.newest(), Forged);
    // One wrong signature among many is found, and only that one.
    let mut log = Log::registered().logged_in(THEIRS);
    for counter in 1..20 {
        log = log.asked(THEIRS, (counter, 0), AuditedOperation::Get);
    }
    log.records.get_mut(9).unwrap().secret = None;
    let (attributions, _) = log.verified(&[]);
    let forged: Vec<_> = (0..attributions.len())
        .filter(|at| attributions.get(*at) == Some(&Forged))
        .collect();
    assert_eq!(forged, [9]);
}

type ChangeOpening = fn(&Log, &mut Opening);

#[test]
fn a_session_acts_for_the_device_that_a_credential_certified() {
    let log = || Log::registered().logged_in(THEIRS);
    // Without a certificate nothing is the owner's.
    let bare = log().asked_on(THEIRS, (1, 0), AuditedOperation::Sync);
    assert_eq!(bare.newest(), Forged);
    let verifier = bare.verified(&[]).1;
    assert_eq!(verifier.unconfirmed(), 1);

    let changes: [ChangeOpening; 6] = [
        |_, opening| opening.slot = Slot::Recovery,
        |_, opening| opening.generation = 2,
        |_, opening| opening.device = PublicKey::new([1; 32]),
        |log, opening| *opening = log.opening(OURS, Slot::Password, 1),
        // A generation that no entry names, and a slot that has no credential.
        |log, opening| *opening = log.opening(THEIRS, Slot::Password, 2),
        |log, opening| *opening = log.opening(THEIRS, log.owner.device_slot(), 1),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut log = log().asked(THEIRS, (1, 0), AuditedOperation::Sync);
        assert_eq!(log.newest(), Own);
        let mut opening = log.last().opening.clone().unwrap();
        change(&log, &mut opening);
        log.last().opening = Some(opening);
        assert_eq!(log.newest(), Forged, "{number}");
    }

    // A second device in the same session, even where a credential certified its key as well.
    let mut owner = Owner::registered();
    let first = owner.device.clone();
    owner.device = keyshell_client::device::identity::DeviceIdentity::random();
    let second = Log::of(owner.clone());
    let opening = second.opening(THEIRS, Slot::Password, 1);
    owner.device = first;
    let mut log = Log::of(owner)
        .logged_in(THEIRS)
        .asked(THEIRS, (1, 0), AuditedOperation::Sync)
        .asked(THEIRS, (2, 0), AuditedOperation::Get);
    let key = second.owner.device.signing();
    let record = log.last();
    record.opening = Some(opening);
    record.device = Some(second.owner.device.id());
    record.signature = Some(SignedOperation::of(&ACCOUNT, record).unwrap().sign(&key));
    assert_eq!(log.newest(), Forged);
}

/// A device's credential certifies the key of that device only.
#[test]
fn a_devices_slot_opens_sessions_of_this_device() {
    let mut owner = Owner::registered();
    let slot = owner.device_slot();
    owner.append_by(Slot::Password, owner.credential(slot, 1));
    let (entry, _) = owner.newest();
    let log = Log::of(owner)
        .logged_in(OURS)
        .asked(OURS, (1, 0), AuditedOperation::Sync)
        .asked(OURS, (2, 0), AuditedOperation::Slot)
        .signed_as(|record| record.entry = Some(entry))
        .logged_in(THEIRS)
        .asked(THEIRS, (1, 0), AuditedOperation::Sync);
    let with = |opening| {
        let mut log = log.clone();
        log.last().opening = Some(opening);
        log.newest()
    };
    assert_eq!(with(log.opening(THEIRS, slot, 1)), Own);
    let other = SigningKey::from_bytes(&[9; 32]);
    let other = Opening::sign(
        &ACCOUNT,
        &THEIRS,
        (slot, 1),
        PublicKey::new(other.verifying_key().to_bytes()),
        &log.owner.device.signing(),
    );
    assert_eq!(with(other), Forged);
}

/// The server must not open sessions with a credential that the owner has replaced or revoked.
#[test]
fn a_replaced_credential_certifies_nothing() {
    let mut owner = Owner::registered();
    owner.append_by(Slot::Password, owner.credential(Slot::Password, 2));
    let (renewed, _) = owner.newest();
    owner.append_by(Slot::Password, Owner::revocation(Slot::Recovery, 2));
    let (revoked, _) = owner.newest();
    let by = |log: Log, slot, generation| {
        let mut log = log
            .logged_in(THEIRS)
            .asked(THEIRS, (1, 0), AuditedOperation::Sync);
        log.last().opening = Some(log.opening(THEIRS, slot, generation));
        log.newest()
    };
    let before = Log::of(owner);
    assert_eq!(by(before.clone(), Slot::Password, 1), Own);
    assert_eq!(by(before.clone(), Slot::Recovery, 1), Own);
    assert_eq!(by(before.clone(), Slot::Password, 2), Forged);
    let after = before
        .logged_in(OURS)
        .asked(OURS, (1, 0), AuditedOperation::Sync)
        .asked(OURS, (2, 0), AuditedOperation::Slot)
        .signed_as(|record| record.entry = Some(renewed))
        .asked(OURS, (2, 1), AuditedOperation::Slot)
        .signed_as(|record| record.entry = Some(revoked));
    assert_eq!(by(after.clone(), Slot::Password, 1), Forged);
    assert_eq!(by(after.clone(), Slot::Password, 2), Own);
    assert_eq!(by(after.clone(), Slot::Recovery, 1), Forged);
    assert_eq!(by(after, Slot::Recovery, 2), Forged);
}

#[test]
fn gaps_are_counted() {
    let cases = [(1, 0, 0), (2, 0, 1), (5, 0, 4), (1, 2, 2), (3, 1, 3)];
    for (counter, position, gaps) in cases {
        let log = Log::registered().logged_in(THEIRS).asked(
            THEIRS,
            (counter, position),
            AuditedOperation::Get,
        );
        assert_eq!(log.verified(&[]).1.gaps(), gaps, "{counter} {position}");
    }
    let log = Log::registered()
        .logged_in(THEIRS)
        .asked(THEIRS, (1, 0), AuditedOperation::Get)
        .asked(THEIRS, (1, 3), AuditedOperation::Get)
        .asked(THEIRS, (4, 0), AuditedOperation::Get);
    assert_eq!(log.verified(&[]).1.gaps(), 2 + 2);
}

#[test]
fn a_login_without_anything_after_it_is_a_question() {
    let log = Log::registered().logged_in(THEIRS).logged_in(OURS);
    let (_, verifier) = log.verified(&[]);
    assert!(!verifier.confirms(&THEIRS));
    assert_eq!(verifier.unconfirmed(), 2);
}

#[test]
fn the_running_session_misses_what_it_asked_for() {
    let log = || {
        Log::registered()
            .logged_in(OURS)
            .asked(OURS, (1, 0), AuditedOperation::Sync)
            .asked(OURS, (2, 0), AuditedOperation::Get)
            .asked(OURS, (2, 1), AuditedOperation::Get)
    };
    let complete = |log: Log, asked: &[usize]| log.verified(asked).1.check_complete(&[], &[]);
    assert_eq!(complete(log(), &[1, 2]), Ok(()));
    // A refused request needs no record.
    assert_eq!(complete(log(), &[1, 2, 0]), Ok(()));
    for (asked, request) in [([1, 3].as_slice(), 2), (&[1, 2, 1], 3), (&[2, 2], 1)] {
        let error = complete(log(), asked).unwrap_err();
        assert_eq!(error, VerificationError::RequestNotRecorded { request });
    }
}

#[test]
fn an_earlier_session_misses_its_last_requests() {
    let log = Log::registered()
        .logged_in(THEIRS)
        .asked(THEIRS, (1, 0), AuditedOperation::Sync)
        .asked(THEIRS, (2, 0), AuditedOperation::Get)
        .asked(THEIRS, (2, 1), AuditedOperation::Get)
        .logged_in(OURS);
    let (_, verifier) = log.verified(&[]);
    let complete = |session, counter, position| {
        let used = UsedSession {
            session,
            counter,
            position,
        };
        verifier.check_complete(&[], &[used])
    };
    for (counter, position) in [(1, 0), (2, 0), (2, 1)] {
        assert_eq!(complete(THEIRS, counter, position), Ok(()));
    }
    for (session, counter, position) in [(THEIRS, 2, 2), (THEIRS, 3, 0), (OURS, 1, 0)] {
        let error = complete(session, counter, position).unwrap_err();
        let request = counter;
        assert_eq!(
            error,
            VerificationError::EarlierRequestNotRecorded { session, request }
        );
    }
}

#[test]
fn every_entry_of_the_vault_log_has_a_record() {
    let mut owner = Owner::registered();
    let device = owner.device.id();
    owner.put(SECRET, 1, "name");
    owner.put(SECRET, 2, "name");
    let entries = owner.index.entries().to_vec();
    let [.., (first, _), (second, _)] = entries[..] else {
        panic!("two entries");
    };
    let log = |owner: &Owner, second| {
        Log::of(owner.clone())
            .logged_in(THEIRS)
            .asked(THEIRS, (1, 0), AuditedOperation::Put)
            .signed_as(|record| record.entry = Some(first))
            .asked(THEIRS, (2, 0), AuditedOperation::Put)
            .signed_as(|record| record.entry = Some(second))
    };
    let complete = |log: &Log, entries: &[(Digest, DeviceId)]| {
        log.verified(&[]).1.check_complete(entries, &[])
    };
    let whole = log(&owner, second);
    assert_eq!(complete(&whole, &entries), Ok(()));
    assert_eq!(whole.verified(&[]).1.withheld(&entries), None);
    // Another device may have been faster than this one's sync: then the log must show what was recorded.
    let (_, shorter) = entries.split_last().unwrap();
    assert_eq!(complete(&whole, shorter), Ok(()));
    assert_eq!(whole.verified(&[]).1.withheld(shorter), Some(device));

    let missing = Err(VerificationError::ChangeNotRecorded {
        seq: Seq(5),
        device,
    });
    let other = log(&owner, Digest::of(b"another entry"));
    assert_eq!(complete(&other, &entries), missing);
    let mut refused = whole.clone();
    refused.last().outcome = Outcome::Refused;
    assert_eq!(complete(&refused, &entries), missing);
    let mut unsigned = whole.clone();
    unsigned.last().signature = None;
    assert_eq!(complete(&unsigned, &entries), missing);
    let mut by_other = entries.clone();
    by_other.last_mut().unwrap().1 = OTHER;
    assert_eq!(
        complete(&whole, &by_other),
        Err(VerificationError::ChangeNotRecorded {
            seq: Seq(5),
            device: OTHER
        })
    );
    // No entry is stored twice.
    assert_eq!(log(&owner, first).newest(), Forged);
}

#[test]
fn a_session_without_its_login_is_a_lie() {
    let log = Log::registered().asked(THEIRS, (1, 0), AuditedOperation::Get);
    let error = log.verifier(&[]).verify(&log.records).unwrap_err();
    assert_eq!(error, VerificationError::LoginNotRecorded(1));
}

#[test]
fn what_no_honest_server_writes_is_a_lie() {
    use AuditedOperation::{Enrol, Get, Login, LoginStart, Put, Register, Sync};
    use Outcome::{Conflict, Done, NotFound, Refused};

    let base = || Log::registered().logged_in(THEIRS);
    let is_regular = |log: &Log| match log.verifier(&[]).verify(&log.records) {
        Ok(_) => true,
        Err(error) => {
            let last = log.records.len() - 1;
            assert_eq!(
                error,
                VerificationError::AuditRecord(last.try_into().unwrap())
            );
            false
        }
    };
    let outside = [
        (LoginStart, Done, true),
        (LoginStart, Refused, true),
        (LoginStart, Conflict, false),
        (LoginStart, NotFound, false),
        (Login, Refused, true),
        (Login, Done, false),
        (Login, NotFound, false),
        (Register, Done, false),
        (Get, Done, false),
        (Put, Refused, false),
    ];
    for (operation, outcome, expected) in outside {
        let mut log = base();
        log.push(operation, None).outcome = outcome;
        assert_eq!(is_regular(&log), expected, "{operation:?} {outcome:?}");
    }
    let inside = [
        (Get, NotFound, true),
        (Get, Conflict, false),
        (Put, Conflict, true),
        (Put, NotFound, false),
        (Sync, Refused, true),
        (Sync, NotFound, false),
        (Sync, Conflict, false),
        (Enrol, Conflict, false),
    ];
    for (operation, outcome, expected) in inside {
        let mut log = base().asked(THEIRS, (1, 0), operation);
        log.last().outcome = outcome;
        assert_eq!(is_regular(&log), expected, "{operation:?} {outcome:?}");
    }
    for operation in [LoginStart, Register, Login] {
        let mut log = base();
        log.push(operation, Some(OURS)).outcome = Refused;
        assert!(!is_regular(&log), "{operation:?}");
    }
    let changes: [fn(&mut Record); 7] = [
        |record| record.format = 1,
        |record| record.index += 1,
        |record| record.time_ms = 0,
        |record| record.count = 2,
        |record| record.count = 0,
        |record| record.remote = MANY_ADDRESSES.into(),
        |record| record.remote = "a.example\nb".into(),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let mut log = base().asked(THEIRS, (1, 0), Get);
        assert!(is_regular(&log));
        change(log.last());
        assert!(!is_regular(&log), "{number}");
    }
    // Attempts before a session are counted together, and carry nothing that only a session has.
    let attempt = |change: fn(&mut Record)| {
        let mut log = base();
        change(log.push(LoginStart, None));
        is_regular(&log)
    };
    assert!(attempt(|record| {
        record.count = 9;
        record.remote = MANY_ADDRESSES.into();
    }));
    let unsigned: [fn(&mut Record); 7] = [
        |record| record.count = 0,
        |record| record.counter = 1,
        |record| record.position = 1,
        |record| record.secret = Some(SECRET),
        |record| record.device = Some(OTHER),
        |record| record.entry = Some(Digest::of(b"entry")),
        |record| record.signature = Some(shared::ids::Signature::new([0; 64])),
    ];
    for (number, change) in unsigned.into_iter().enumerate() {
        assert!(!attempt(change), "{number}");
    }
}
