//! Verification of audit records one after the other: their form, whether the owner's devices requested the operation,
//! and which records are missing.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use shared::audit_record::{
    AuditedOperation, MANY_ADDRESSES, Outcome, RECORD_FORMAT, Record, TagInput,
};
use shared::ids::{DeviceId, SessionId};
use shared::secret::Key;

use crate::index::ChangeKey;
use crate::session::ExpectedRecords;
use crate::verification::VerificationError;

/// Whether one of the owner's devices requested the operation of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribution {
    /// It did: the record carries a valid tag.
    Own,
    /// The operation happens outside sessions, where there are no tags: a registration, a login that was started or
    /// refused.
    OutsideSession,
    /// A login whose session has no record with a valid tag.
    Unconfirmed,
    /// The record claims an operation in a session and carries no valid tag: the server made it up.
    Forged,
}

impl Attribution {
    /// The word for output: `own`, `open`, `unconfirmed` or `FORGED`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::OutsideSession => "open",
            Self::Unconfirmed => "unconfirmed",
            Self::Forged => "FORGED",
        }
    }
}

/// The records of one session so far.
#[derive(Debug, Default)]
struct Progress {
    logged_in: bool,
    /// Counter and position of the newest record with a valid tag.
    newest: Option<(u64, u32)>,
}

/// Verifies the records of one audit log in their order.
#[derive(Debug)]
pub struct AuditVerifier {
    /// One request-tag key per account key, oldest first.
    keys: Vec<Key>,
    /// Number of replacements of the account key so far.
    replaced: usize,
    /// The request of the newest replacement, all of whose records carry tags of the former key.
    replaced_in: Option<(SessionId, u64)>,
    asked: ExpectedRecords,
    next_index: u64,
    time_ms: u64,
    sessions: HashMap<SessionId, Progress>,
    /// Number of successful operations with a valid tag, per kind.
    changes: BTreeMap<ChangeKey, u64>,
    /// Number of records found per request of the running session.
    own: Vec<usize>,
    gaps: u64,
}

impl AuditVerifier {
    /// Starts at the log's beginning. `keys` are the request-tag keys, oldest first, each valid until the record of its
    /// replacement.
    pub fn new(keys: Vec<Key>, asked: ExpectedRecords) -> Self {
        Self {
            keys,
            replaced: 0,
            replaced_in: None,
            own: vec![0; asked.records.len()],
            asked,
            next_index: 0,
            time_ms: 0,
            sessions: HashMap::new(),
            changes: BTreeMap::new(),
            gaps: 0,
        }
    }

    /// Verifies the next record. A login counts as [`Attribution::Unconfirmed`] until the whole log is read, see
    /// [`Self::confirms`].
    ///
    /// # Errors
    /// [`VerificationError::AuditRecord`] for a record that no honest server writes,
    /// [`VerificationError::LoginNotRecorded`].
    pub fn verify(&mut self, record: &Record) -> Result<Attribution, VerificationError> {
        if !self.is_regular(record) {
            let index = self.next_index;
            return Err(VerificationError::AuditRecord(index));
        }
        self.next_index += 1;
        self.time_ms = record.time_ms;
        match (record.operation, record.outcome, record.session) {
            (AuditedOperation::Login, Outcome::Done, Some(session)) => Ok(self.log_in(session)),
            (operation, _, _) if !operation.needs_tag() => Ok(Attribution::OutsideSession),
            (_, _, Some(session)) if self.has_valid_tag(record) => self.tagged(record, session),
            _ => Ok(Attribution::Forged),
        }
    }

    /// Whether an honest server could have written the record here, for a request of any client.
    fn is_regular(&self, record: &Record) -> bool {
        let in_place = record.format == RECORD_FORMAT
            && record.index == self.next_index
            && record.time_ms >= self.time_ms
            && (record.index == 0) == (record.operation == AuditedOperation::Register);
        // Requests that need no credential are aggregated: one record counts several.
        let is_aggregated = match record.operation {
            AuditedOperation::LoginStart => true,
            AuditedOperation::Login => record.outcome == Outcome::Refused,
            _ => false,
        };
        let counted = record.count == 1 || (is_aggregated && record.count > 0);
        let outside = record.tag.is_none()
            && record.device.is_none()
            && record.secret.is_none()
            && (record.counter, record.position) == (0, 0);
        let from = record.remote.parse::<IpAddr>().is_ok()
            || (is_aggregated && record.remote == MANY_ADDRESSES);
        in_place && counted && from && (outside || record.operation.needs_tag())
    }

    /// Only the first login of a session, before any tagged record of it, can be the owner's.
    fn log_in(&mut self, session: SessionId) -> Attribution {
        let progress = self.sessions.entry(session).or_default();
        let is_first = !progress.logged_in && progress.newest.is_none();
        progress.logged_in = true;
        if is_first {
            Attribution::Unconfirmed
        } else {
            Attribution::Forged
        }
    }

    fn tagged(
        &mut self,
        record: &Record,
        session: SessionId,
    ) -> Result<Attribution, VerificationError> {
        let place = (record.counter, record.position);
        let progress = self.sessions.entry(session).or_default();
        if !progress.logged_in {
            let index = record.index;
            return Err(VerificationError::LoginNotRecorded(index));
        }
        // A tag is valid once and in the order of the counters: a second record with it is made up.
        if progress.newest >= Some(place) {
            return Ok(Attribution::Forged);
        }
        self.gaps = self.gaps.saturating_add(missing(progress.newest, place));
        progress.newest = Some(place);
        if session == self.asked.session {
            let counter = usize::try_from(record.counter).unwrap_or(usize::MAX);
            if let Some(count) = counter.checked_sub(1).and_then(|at| self.own.get_mut(at)) {
                *count += 1;
            }
        }
        if let (Outcome::Done, Some(device)) = (record.outcome, record.device) {
            let changed = (record.operation, record.secret, device);
            *self.changes.entry(changed).or_default() += 1;
            if record.operation == AuditedOperation::Rekey {
                self.replaced += 1;
                self.replaced_in = Some((session, record.counter));
            }
        }
        Ok(Attribution::Own)
    }

    fn has_valid_tag(&self, record: &Record) -> bool {
        let request = record.session.map(|session| (session, record.counter));
        let is_of_before = request.is_some() && request == self.replaced_in;
        let key = self.keys.get(self.replaced - usize::from(is_of_before));
        key.is_some_and(|key| is_tagged_with(record, key))
    }

    /// Number of successful tagged records of this one's operation, secret and device so far, itself included.
    pub fn ordinal(&self, record: &Record) -> u64 {
        let device = record.device.unwrap_or(DeviceId::new([0; DeviceId::LEN]));
        let changed = (record.operation, record.secret, device);
        self.changes.get(&changed).copied().unwrap_or_default()
    }

    /// Whether the session has a record with a valid tag.
    pub fn confirms(&self, session: &SessionId) -> bool {
        self.sessions
            .get(session)
            .is_some_and(|progress| progress.newest.is_some())
    }

    /// Number of sessions with a login and no record with a valid tag.
    pub fn unconfirmed(&self) -> usize {
        let idle = |progress: &&Progress| progress.logged_in && progress.newest.is_none();
        self.sessions.values().filter(idle).count()
    }

    /// Number of operations without a record, as gaps between the counters show.
    pub fn gaps(&self) -> u64 {
        self.gaps
    }

    /// Verifies that the requests of the running session, and the entries of the vault log, have their records.
    ///
    /// # Errors
    /// [`VerificationError::RequestNotRecorded`], [`VerificationError::ChangeNotRecorded`].
    pub fn check_complete(
        &self,
        entries: &BTreeMap<ChangeKey, u64>,
    ) -> Result<(), VerificationError> {
        let mut asked = (1..).zip(self.asked.records.iter().zip(&self.own));
        if let Some((request, _)) = asked.find(|(_, (expected, found))| found < expected) {
            return Err(VerificationError::RequestNotRecorded(request));
        }
        let missing = entries.iter().find(|(changed, count)| {
            let found = self.changes.get(changed).copied().unwrap_or_default();
            found < **count
        });
        match missing {
            None => Ok(()),
            Some(((operation, _, device), _)) => Err(VerificationError::ChangeNotRecorded {
                operation: *operation,
                device: *device,
            }),
        }
    }
}

impl AuditVerifier {
    /// A change with a valid tag that is not among these entries of the vault log.
    pub fn withheld(&self, entries: &BTreeMap<ChangeKey, u64>) -> Option<ChangeKey> {
        let mut beyond = self.changes.iter().filter(|(changed, count)| {
            changed.0.is_change() && entries.get(*changed).copied().unwrap_or_default() < **count
        });
        beyond.next().map(|(changed, _)| *changed)
    }
}

/// Number of operations between two records of one session, as their counters and positions show.
fn missing(before: Option<(u64, u32)>, place: (u64, u32)) -> u64 {
    let (counter, position) = place;
    match before {
        Some((same, last)) if same == counter => u64::from(position - last - 1),
        before => {
            let last = before.map_or(0, |(last, _)| last);
            (counter - last - 1).saturating_add(u64::from(position))
        }
    }
}

fn is_tagged_with(record: &Record, key: &Key) -> bool {
    let (Some(session), Some(device), Some(tag)) = (&record.session, &record.device, &record.tag)
    else {
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
    // Counters begin at 1.
    record.counter > 0 && marked.tag(key) == *tag
}
