//! Attribution of audit records: the owner's, forged, or missing.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;

use keyshell_client::index::ChangeKey;
use keyshell_client::session::ExpectedRecords;
use keyshell_client::vault::audit_verifier::Attribution;
use keyshell_client::vault::audit_verifier::AuditVerifier;
use keyshell_client::verification::VerificationError;
use shared::audit_record::{AuditedOperation, Outcome, RECORD_FORMAT, Record, TagInput};
use shared::ids::{DeviceId, SecretId, SessionId};
use shared::secret::Key;

const DEVICE: DeviceId = DeviceId::new([1; 16]);
const OTHER: DeviceId = DeviceId::new([2; 16]);
const SECRET: SecretId = SecretId::new([3; 16]);
const OURS: SessionId = SessionId::new([4; 16]);
const THEIRS: SessionId = SessionId::new([5; 16]);

fn key() -> Key {
    Key::new([9; 32])
}

/// A log in the making.
#[derive(Default)]
struct Log(Vec<Record>);

impl Log {
    fn registered() -> Self {
        let mut log = Self::default();
        log.open(AuditedOperation::Register, None);
        log
    }

    fn open(&mut self, operation: AuditedOperation, session: Option<SessionId>) {
        self.0.push(Record {
            format: RECORD_FORMAT,
            index: self.0.len().try_into().unwrap(),
            time_ms: 1,
            operation,
            secret: None,
            outcome: Outcome::Done,
            session,
            counter: 0,
            position: 0,
            device: None,
            remote: "127.0.0.1".into(),
            tag: None,
            count: 1,
        });
    }

    fn logged_in(mut self, session: SessionId) -> Self {
        self.open(AuditedOperation::Login, Some(session));
        self
    }

    fn asked(mut self, session: SessionId, place: (u64, u32), operation: AuditedOperation) -> Self {
        self.open(operation, Some(session));
        let record = self.0.last_mut().unwrap();
        (record.counter, record.position) = place;
        record.device = Some(DEVICE);
        record.secret = Some(SECRET);
        let marked = TagInput {
            session: &session,
            counter: place.0,
            position: place.1,
            device: &DEVICE,
            operation,
            secret: Some(&SECRET),
        };
        record.tag = Some(marked.tag(&key()));
        self
    }

    /// Marks and verifier, where `asked` are the records of the running session's requests.
    fn verified(&self, asked: &[usize]) -> (Vec<Attribution>, AuditVerifier) {
        let mut verifier = AuditVerifier::new(
            vec![key()],
            ExpectedRecords {
                session: OURS,
                records: asked.to_vec(),
            },
        );
        let marks = self.0.iter().map(|record| verifier.verify(record).unwrap());
        (marks.collect(), verifier)
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
    let (marks, verifier) = log.verified(&[]);
    let own = Attribution::Own;
    assert_eq!(
        marks,
        [
            Attribution::OutsideSession,
            Attribution::Unconfirmed,
            own,
            own,
            own,
            own
        ]
    );
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
        assert_eq!(
            log.verified(&[]).0.last(),
            Some(&Attribution::Forged),
            "{place:?}"
        );
    }
    // A second login of the same session, before or after it did something.
    let early = Log::registered().logged_in(THEIRS).logged_in(THEIRS);
    let late = Log::registered()
        .logged_in(THEIRS)
        .asked(THEIRS, (1, 0), AuditedOperation::Sync)
        .logged_in(THEIRS);
    for log in [early, late] {
        assert_eq!(log.verified(&[]).0.last(), Some(&Attribution::Forged));
    }
}

#[test]
fn marks_are_bound_to_everything_they_mark() {
    let changes: [fn(&mut Record); 6] = [
        |record| record.counter = 2,
        |record| record.position = 1,
        |record| record.device = Some(OTHER),
        |record| record.secret = None,
        |record| record.operation = AuditedOperation::Remove,
        |record| record.tag = None,
    ];
    for change in changes {
        let mut log =
            Log::registered()
                .logged_in(THEIRS)
                .asked(THEIRS, (1, 0), AuditedOperation::Get);
        change(log.0.last_mut().unwrap());
        assert_eq!(log.verified(&[]).0.last(), Some(&Attribution::Forged));
    }
    // A mark of one session in another.
    let mut log = Log::registered().logged_in(THEIRS).logged_in(OURS).asked(
        THEIRS,
        (1, 0),
        AuditedOperation::Get,
    );
    log.0.last_mut().unwrap().session = Some(OURS);
    assert_eq!(log.verified(&[]).0.last(), Some(&Attribution::Forged));
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
    let complete =
        |log: Log, asked: &[usize]| log.verified(asked).1.check_complete(&BTreeMap::new());
    assert_eq!(complete(log(), &[1, 2]), Ok(()));
    // A refused request needs no record.
    assert_eq!(complete(log(), &[1, 2, 0]), Ok(()));
    for asked in [[1, 3].as_slice(), &[1, 2, 1], &[2, 2]] {
        let error = complete(log(), asked).unwrap_err();
        let is_noticed = matches!(error, VerificationError::RequestNotRecorded(_));
        assert!(is_noticed, "{error}");
    }
}

#[test]
fn every_entry_of_the_vault_log_has_a_record() {
    let put = |device| -> ChangeKey { (AuditedOperation::Put, Some(SECRET), device) };
    let log = |outcome| {
        let mut log = Log::registered()
            .logged_in(THEIRS)
            .asked(THEIRS, (1, 0), AuditedOperation::Put)
            .asked(THEIRS, (2, 0), AuditedOperation::Put);
        log.0.last_mut().unwrap().outcome = outcome;
        log
    };
    let complete = |outcome, entries: &[(ChangeKey, u64)]| {
        let entries = entries.iter().copied().collect();
        log(outcome).verified(&[]).1.check_complete(&entries)
    };
    assert_eq!(complete(Outcome::Done, &[(put(DEVICE), 2)]), Ok(()));
    // Another device may have been faster than this one's sync.
    assert_eq!(complete(Outcome::Done, &[(put(DEVICE), 1)]), Ok(()));
    let lies = [
        (Outcome::Done, put(DEVICE), 3),
        (Outcome::Refused, put(DEVICE), 2),
        (Outcome::Done, put(OTHER), 1),
        (
            Outcome::Done,
            (AuditedOperation::Remove, Some(SECRET), DEVICE),
            1,
        ),
    ];
    for (outcome, changed, count) in lies {
        let error = complete(outcome, &[(changed, count)]).unwrap_err();
        let (operation, _, device) = changed;
        assert_eq!(
            error,
            VerificationError::ChangeNotRecorded { operation, device }
        );
    }
}

#[test]
fn a_session_without_its_login_is_a_lie() {
    let log = Log::registered().asked(THEIRS, (1, 0), AuditedOperation::Get);
    let mut verifier = AuditVerifier::new(
        vec![key()],
        ExpectedRecords {
            session: OURS,
            records: Vec::new(),
        },
    );
    let outcomes: Vec<_> = log.0.iter().map(|record| verifier.verify(record)).collect();
    let last = outcomes.last().unwrap().as_ref().unwrap_err();
    assert_eq!(*last, VerificationError::LoginNotRecorded(1));
}
