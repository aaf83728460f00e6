//! Verification of audit records in their order: their form, whether the owner's devices signed the operation, and which
//! records are missing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use shared::audit_record::{AuditedOperation, MANY_ADDRESSES, Outcome, RECORD_FORMAT, Record};
use shared::ids::{AccountId, DeviceId, Digest, PublicKey, SessionId};
use shared::opaque::Slot;
use shared::request::{Opening, SignedMessage, SignedOperation, verify_all};
use shared::vault_log::LAST_OF_REGISTRATION;

use crate::device::pins::UsedSession;
use crate::index::{Credentials, Generation};
use crate::session::ExpectedRecords;
use crate::verification::VerificationError;

/// Whether one of the owner's devices requested the operation of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribution {
    /// It did: the record carries a signature of the device, which a credential of the owner authorised.
    Own,
    /// The operation happens outside sessions, where nothing is signed: a registration, a login that was started or
    /// refused.
    OutsideSession,
    /// A login whose session has no record with a valid signature.
    Unconfirmed,
    /// The record claims an operation in a session and carries no valid signature. The server verifies each signature
    /// before it acts, so that it made the record up.
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
    /// The key of the device, once a certificate for it has verified.
    device: Option<PublicKey>,
    /// Counter and position of the newest record with a valid signature.
    newest: Option<(u64, u32)>,
}

/// Verifies the records of one audit log in their order.
#[derive(Debug)]
pub struct AuditVerifier {
    account: AccountId,
    generations: BTreeMap<(Slot, u64), Generation>,
    /// The slot and generation that an entry sets.
    set_by: HashMap<Digest, (Slot, u64)>,
    /// The generation of each slot at this point of the log.
    valid: BTreeMap<Slot, u64>,
    asked: ExpectedRecords,
    next_index: u64,
    time_ms: u64,
    sessions: HashMap<SessionId, Progress>,
    /// The entries of the vault log that successful operations appended, with the device that signed them.
    appended: HashMap<Digest, DeviceId>,
    /// Number of records found per request of the running session.
    own: Vec<usize>,
    gaps: u64,
}

impl AuditVerifier {
    /// Starts at the log's beginning. `credentials` are those that the vault log names.
    pub fn new(account: AccountId, credentials: &Credentials, asked: ExpectedRecords) -> Self {
        let generations = credentials.generations().clone();
        let set_by = generations.iter().map(|(place, set)| (set.entry, *place));
        Self {
            account,
            set_by: set_by.collect(),
            generations,
            // The registration has one record for all of its entries.
            valid: BTreeMap::from([(Slot::Password, 1), (Slot::Recovery, 1)]),
            own: vec![0; asked.records.len()],
            asked,
            next_index: 0,
            time_ms: 0,
            sessions: HashMap::new(),
            appended: HashMap::new(),
            gaps: 0,
        }
    }

    /// Verifies the next records; signatures are verified in one batch. A login counts as [`Attribution::Unconfirmed`]
    /// until the whole log is read, see [`Self::confirms`].
    ///
    /// # Errors
    /// [`VerificationError::AuditRecord`] for a record that no honest server writes,
    /// [`VerificationError::LoginNotRecorded`].
    pub fn verify(&mut self, records: &[Record]) -> Result<Vec<Attribution>, VerificationError> {
        for record in records {
            if !self.is_regular(record) {
                let index = self.next_index;
                return Err(VerificationError::AuditRecord(index));
            }
            self.next_index += 1;
            self.time_ms = record.time_ms;
        }
        // Sessions may open in these records, so that the keys are known only one after the other.
        let mut signed = Vec::new();
        let mut signed_at = Vec::new();
        for (at, record) in records.iter().enumerate() {
            signed.extend(self.signed_message(record).inspect(|_| signed_at.push(at)));
        }
        let verified = verify_all(&signed).into_iter().zip(signed_at);
        let valid: HashSet<usize> = verified
            .filter_map(|(is_valid, at)| is_valid.then_some(at))
            .collect();
        let mut attributions = Vec::with_capacity(records.len());
        for (at, record) in records.iter().enumerate() {
            attributions.push(self.attribute(record, valid.contains(&at))?);
        }
        Ok(attributions)
    }

    fn attribute(
        &mut self,
        record: &Record,
        is_signed: bool,
    ) -> Result<Attribution, VerificationError> {
        match (record.operation, record.session) {
            (AuditedOperation::Login, Some(session)) => Ok(self.log_in(session)),
            (operation, _) if !operation.is_signed() => Ok(Attribution::OutsideSession),
            (_, Some(session)) if is_signed => self.signed(record, session),
            _ => Ok(Attribution::Forged),
        }
    }

    /// The signature of a record in a session, with the key of the device that a certificate names; learns the key from
    /// an opening.
    fn signed_message(&mut self, record: &Record) -> Option<SignedMessage> {
        let session = record.session.filter(|_| record.operation.is_signed())?;
        if let Some(opening) = &record.opening {
            let device = self.certified(&session, opening)?;
            let progress = self.sessions.entry(session).or_default();
            progress.device.get_or_insert(device);
        }
        // Appended here as well, since a credential that is replaced certifies no session from then on.
        if let (Outcome::Done, Some(entry)) = (record.outcome, &record.entry)
            && let Some((slot, generation)) = self.set_by.get(entry)
        {
            self.valid.insert(*slot, *generation);
        }
        let key = self.sessions.get(&session)?.device?;
        let operation = SignedOperation::of(&self.account, record)?;
        let is_devices = record.device == Some(DeviceId::of(&key)) && record.counter > 0;
        is_devices.then(|| {
            Some(SignedMessage {
                key,
                message: operation.message(),
                signature: record.signature?,
            })
        })?
    }

    /// The device's key, if the certificate verifies by the credential that was valid at this point of the log.
    fn certified(&self, session: &SessionId, opening: &Opening) -> Option<PublicKey> {
        let place = (opening.slot, opening.generation);
        let is_valid = self.valid.get(&opening.slot) == Some(&opening.generation);
        let key = self.generations.get(&place)?.signing?;
        let is_devices = match opening.slot {
            Slot::Device(id) => DeviceId::from(opening) == id,
            Slot::Password | Slot::Recovery => true,
        };
        let is_certified =
            is_valid && is_devices && opening.is_signed_by(&self.account, session, &key);
        is_certified.then_some(opening.device)
    }

    /// Whether an honest server could have written the record here, whoever requested the operation.
    fn is_regular(&self, record: &Record) -> bool {
        use AuditedOperation as Audited;

        let in_place = record.format == RECORD_FORMAT
            && record.index == self.next_index
            && record.time_ms >= self.time_ms
            && (record.index == 0) == (record.operation == Audited::Register);
        // Requests that need no credential are aggregated: one record counts several.
        let is_aggregated = match record.operation {
            Audited::LoginStart => true,
            Audited::Login => record.outcome == Outcome::Refused,
            _ => false,
        };
        let counted = record.count == 1 || (is_aggregated && record.count > 0);
        let from = record.remote.parse::<IpAddr>().is_ok()
            || (is_aggregated && record.remote == MANY_ADDRESSES);
        let has_session = record.session.is_some();
        let is_possible = match (record.operation, record.outcome) {
            (Audited::Register, outcome) => outcome == Outcome::Done && !has_session,
            (Audited::LoginStart, Outcome::Done | Outcome::Refused)
            | (Audited::Login, Outcome::Refused) => !has_session,
            (Audited::LoginStart, _) => false,
            (Audited::Login, outcome) => outcome == Outcome::Done && has_session,
            (_, Outcome::Done | Outcome::Refused) => has_session,
            (operation, Outcome::NotFound) => operation == Audited::Get && has_session,
            (operation, Outcome::Conflict) => operation.is_change() && has_session,
        };
        let is_bare = record.signature.is_none()
            && record.device.is_none()
            && record.secret.is_none()
            && record.entry.is_none()
            && record.opening.is_none()
            && (record.counter, record.position) == (0, 0);
        in_place && counted && from && is_possible && (is_bare || record.operation.is_signed())
    }

    /// Only the first login of a session, before any signed record of it, can be the owner's.
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

    fn signed(
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
        // A signature is valid once and in the order of the counters: a second record with it is made up.
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
        if let (Outcome::Done, Some(entry), Some(device)) =
            (record.outcome, record.entry, record.device)
            && self.appended.insert(entry, device).is_some()
        {
            // No entry is appended twice.
            return Ok(Attribution::Forged);
        }
        Ok(Attribution::Own)
    }

    /// Whether the session has a record with a valid signature.
    pub fn confirms(&self, session: &SessionId) -> bool {
        self.sessions
            .get(session)
            .is_some_and(|progress| progress.newest.is_some())
    }

    /// Number of sessions with a login and no record with a valid signature.
    pub fn unconfirmed(&self) -> usize {
        let idle = |progress: &&Progress| progress.logged_in && progress.newest.is_none();
        self.sessions.values().filter(idle).count()
    }

    /// Number of operations without a record, as gaps between the counters show.
    pub fn gaps(&self) -> u64 {
        self.gaps
    }

    /// Verifies that the requests of the running session, the newest requests of `earlier` sessions of this device, and
    /// the entries of the vault log have their records. `entries` are hash and device of each entry from position 1.
    ///
    /// # Errors
    /// [`VerificationError::RequestNotRecorded`], [`VerificationError::EarlierRequestNotRecorded`],
    /// [`VerificationError::ChangeNotRecorded`].
    pub fn check_complete(
        &self,
        entries: &[(Digest, DeviceId)],
        earlier: &[UsedSession],
    ) -> Result<(), VerificationError> {
        let mut asked = (1..).zip(self.asked.records.iter().zip(&self.own));
        if let Some((request, _)) = asked.find(|(_, (expected, found))| found < expected) {
            return Err(VerificationError::RequestNotRecorded { request });
        }
        let lacks_newest = |used: &&UsedSession| {
            let newest = self
                .sessions
                .get(&used.session)
                .and_then(|found| found.newest);
            newest < Some((used.counter, used.position))
        };
        if let Some(used) = earlier.iter().find(lacks_newest) {
            return Err(VerificationError::EarlierRequestNotRecorded {
                session: used.session,
                request: used.counter,
            });
        }
        let mut changes = (1..)
            .zip(entries)
            .filter(|(seq, _)| *seq > LAST_OF_REGISTRATION.0);
        let missing = changes.find(|(_, (entry, device))| self.appended.get(entry) != Some(device));
        missing.map_or(Ok(()), |(seq, (_, device))| {
            Err(VerificationError::ChangeNotRecorded {
                seq: shared::ids::Seq(seq),
                device: *device,
            })
        })
    }

    /// The device of a recorded change that is not among these entries of the vault log.
    pub fn withheld(&self, entries: &[(Digest, DeviceId)]) -> Option<DeviceId> {
        let known: HashSet<&Digest> = entries.iter().map(|(entry, _)| entry).collect();
        let mut beyond = self.appended.iter();
        beyond
            .find(|(entry, _)| !known.contains(entry))
            .map(|(_, device)| *device)
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
