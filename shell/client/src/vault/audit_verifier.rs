//! Judging audit records one after the other: what an honest server keeps to, whether the owner asked for it, and what
//! is missing.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use shared::audit_record::{MANY_ADDRESSES, Marked, Operation, Outcome, RECORD_FORMAT, Record};
use shared::ids::{DeviceId, SessionId};
use shared::secret::Key;

use crate::index::Changed;
use crate::session::Asked;
use crate::vault::audit::Mark;
use crate::verification::VerificationError;

/// How far one session's records go.
#[derive(Debug, Default)]
struct Progress {
    logged_in: bool,
    /// Counter and position of the newest marked record.
    newest: Option<(u64, u32)>,
}

/// What was seen of the log so far.
#[derive(Debug)]
pub struct Judge {
    /// One an account key, oldest first.
    keys: Vec<Key>,
    /// How often the account key was replaced so far.
    replaced: usize,
    /// In which request last: all of it carries marks of the key before.
    replaced_in: Option<(SessionId, u64)>,
    asked: Asked,
    next_index: u64,
    time_ms: u64,
    sessions: HashMap<SessionId, Progress>,
    /// Changes that the server says it did for the owner.
    changes: BTreeMap<Changed, u64>,
    /// Records of the running session's requests.
    own: Vec<usize>,
    gaps: u64,
}

impl Judge {
    /// Begins at the log's beginning. `keys` make the owner's marks, each until the record of its replacement, oldest
    /// first; `asked` is what the running session asked for.
    pub fn new(keys: Vec<Key>, asked: Asked) -> Self {
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

    /// Judges the next record. A `login` is [`Mark::Unconfirmed`] until the end, see [`Self::confirms`].
    ///
    /// # Errors
    /// [`VerificationError::AuditRecord`] for a record that no honest server writes,
    /// [`VerificationError::LoginNotRecorded`].
    pub fn judge(&mut self, record: &Record) -> Result<Mark, VerificationError> {
        if !self.is_regular(record) {
            let index = self.next_index;
            return Err(VerificationError::AuditRecord { index });
        }
        self.next_index += 1;
        self.time_ms = record.time_ms;
        match (record.operation, record.outcome, record.session) {
            (Operation::Login, Outcome::Done, Some(session)) => Ok(self.log_in(session)),
            (operation, _, _) if !operation.needs_tag() => Ok(Mark::Open),
            (_, _, Some(session)) if self.is_marked(record) => self.mark(record, session),
            _ => Ok(Mark::Forged),
        }
    }

    /// What holds of every record that an honest server writes, whoever asked for it.
    fn is_regular(&self, record: &Record) -> bool {
        let in_place = record.format == RECORD_FORMAT
            && record.index == self.next_index
            && record.time_ms >= self.time_ms
            && (record.index == 0) == (record.operation == Operation::Register);
        // What anybody can send is counted together.
        let is_anybodys = match record.operation {
            Operation::LoginStart => true,
            Operation::Login => record.outcome == Outcome::Refused,
            _ => false,
        };
        let counted = record.count == 1 || (is_anybodys && record.count > 0);
        let outside = record.tag.is_none()
            && record.device.is_none()
            && record.secret.is_none()
            && (record.counter, record.position) == (0, 0);
        let from = record.remote.parse::<IpAddr>().is_ok()
            || (is_anybodys && record.remote == MANY_ADDRESSES);
        in_place && counted && from && (outside || record.operation.needs_tag())
    }

    /// Only the first login of a session, before anything was asked in it, can be the owner's.
    fn log_in(&mut self, session: SessionId) -> Mark {
        let progress = self.sessions.entry(session).or_default();
        let is_first = !progress.logged_in && progress.newest.is_none();
        progress.logged_in = true;
        if is_first {
            Mark::Unconfirmed
        } else {
            Mark::Forged
        }
    }

    fn mark(&mut self, record: &Record, session: SessionId) -> Result<Mark, VerificationError> {
        let place = (record.counter, record.position);
        let progress = self.sessions.entry(session).or_default();
        if !progress.logged_in {
            let index = record.index;
            return Err(VerificationError::LoginNotRecorded { index });
        }
        // A mark is good once, and in its turn: a second record with the same one is made up.
        if progress.newest >= Some(place) {
            return Ok(Mark::Forged);
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
            if record.operation == Operation::Rekey {
                self.replaced += 1;
                self.replaced_in = Some((session, record.counter));
            }
        }
        Ok(Mark::Own)
    }

    fn is_marked(&self, record: &Record) -> bool {
        let request = record.session.map(|session| (session, record.counter));
        let is_of_before = request.is_some() && request == self.replaced_in;
        let key = self.keys.get(self.replaced - usize::from(is_of_before));
        key.is_some_and(|key| is_marked(record, key))
    }

    /// How many records of this one's kind, secret and device were done for the owner so far, itself included.
    pub fn ordinal(&self, record: &Record) -> u64 {
        let device = record.device.unwrap_or(DeviceId::new([0; DeviceId::LEN]));
        let changed = (record.operation, record.secret, device);
        self.changes.get(&changed).copied().unwrap_or_default()
    }

    /// Whether the owner's devices did something in this session.
    pub fn confirms(&self, session: &SessionId) -> bool {
        self.sessions
            .get(session)
            .is_some_and(|progress| progress.newest.is_some())
    }

    /// How many sessions were opened in which the owner's devices did nothing.
    pub fn unconfirmed(&self) -> usize {
        let idle = |progress: &&Progress| progress.logged_in && progress.newest.is_none();
        self.sessions.values().filter(idle).count()
    }

    /// How many requests of the owner's have no record, as their numbers show.
    pub fn gaps(&self) -> u64 {
        self.gaps
    }

    /// What must have been written down: everything in the running session, and every entry of the vault log.
    ///
    /// # Errors
    /// [`VerificationError::RequestNotRecorded`], [`VerificationError::ChangeNotRecorded`].
    pub fn check_complete(
        &self,
        entries: &BTreeMap<Changed, u64>,
    ) -> Result<(), VerificationError> {
        let mut asked = (1..).zip(self.asked.records.iter().zip(&self.own));
        if let Some((request, _)) = asked.find(|(_, (expected, found))| found < expected) {
            return Err(VerificationError::RequestNotRecorded { request });
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

impl Judge {
    /// A change that the owner's devices marked, and that is not among the entries of the vault log as it is known here.
    pub fn withheld(&self, entries: &BTreeMap<Changed, u64>) -> Option<Changed> {
        let mut beyond = self.changes.iter().filter(|(changed, count)| {
            changed.0.is_change() && entries.get(*changed).copied().unwrap_or_default() < **count
        });
        beyond.next().map(|(changed, _)| *changed)
    }
}

/// Records between two places of one session, as far as their numbers tell.
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

fn is_marked(record: &Record, key: &Key) -> bool {
    let (Some(session), Some(device), Some(tag)) = (&record.session, &record.device, &record.tag)
    else {
        return false;
    };
    let marked = Marked {
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
