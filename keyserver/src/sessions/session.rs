//! Open sessions, sans I/O: sealed channel, account, device, and expiry.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use shared::channel::{ChannelError, Received, SESSION_KEY_LEN, Sealed, ServerChannel, session_id};
use shared::ids::{AccountId, DeviceId, PublicKey, SessionId};
use shared::opaque::Slot;
use shared::request::Opening;
use shared::secret::SecretBytes;
use shared::wire::error::Refusal;
use shared::wire::limits::MAX_SESSIONS;
use shared::wire::register::SlotRecord;
use shared::wire::slots::SessionInfo;
use tokio::sync::watch;

use crate::sessions::enrolment::{Asker, Holder, Staged};

/// How long a closed session repeats its last answer.
const FAREWELL: Duration = Duration::from_secs(10);

/// Limits of number and lifetime of sessions.
#[derive(Debug, Clone, Copy)]
pub struct SessionLimits {
    /// Most sessions.
    pub total: usize,
    /// Most sessions of one account.
    pub per_account: usize,
    /// Most bytes of sealed answers that are kept for repeated requests.
    pub kept_answers: usize,
    /// A session ends after this time without a request.
    pub idle: Duration,
    /// A session ends after this time in any case.
    pub lifetime: Duration,
    /// Proof time: how long after a login with password or recovery code the session may change credentials.
    pub proof: Duration,
}

/// Session and number of a request, and what the session is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    /// The session.
    pub session: SessionId,
    /// The account.
    pub account: AccountId,
    /// Number of the request in the session, from 1.
    pub counter: u64,
    /// Whether the session was opened with password or recovery code.
    pub is_person: bool,
    /// Whether that was within the proof time.
    pub is_proven: bool,
    /// Slot and generation of the credential that opened the session.
    pub by: (Slot, u64),
    /// Key epoch that the session knows.
    pub epoch: u32,
    /// Signing key of that credential, which authorises the device's key.
    pub signing: PublicKey,
    /// The first valid opening of the session; `None` before it.
    pub opening: Option<Box<Opening>>,
    /// Whether a request of the session was answered without a refusal: then no further one carries an opening.
    pub is_confirmed: bool,
}

/// A sealed message that was received.
#[derive(Debug)]
pub enum Opened {
    /// A new request, which must be answered by [`OpenSessions::seal`].
    New(Context, SecretBytes),
    /// The last request was repeated; holds its answer.
    Repeated(Sealed),
    /// The last request is still being carried out; the receiver is notified of its answer.
    Busy(watch::Receiver<u64>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Working,
    Closed,
}

#[derive(Debug)]
struct Session {
    channel: ServerChannel,
    holder: Holder,
    remote: IpAddr,
    /// The first valid opening, which authorises the key of the device.
    opening: Option<Opening>,
    /// Whether a request was answered without a refusal.
    is_confirmed: bool,
    staged: Option<Staged>,
    began: Instant,
    phase: Phase,
    last_used: Instant,
    ends: Instant,
    /// Length of the answer that the channel keeps.
    kept: usize,
    /// Counts answers; repeated requests wait for it to change.
    answered: watch::Sender<u64>,
}

impl Session {
    fn has_ended(&self, now: Instant, limits: &SessionLimits) -> bool {
        let idle = match self.phase {
            Phase::Working => return false,
            Phase::Idle => limits.idle,
            Phase::Closed => FAREWELL,
        };
        now >= self.last_used + idle || now >= self.ends
    }

    /// Whether password or recovery code was proven within the proof time. A person who finds an open session has not
    /// proven it.
    fn is_proven(&self, now: Instant, limits: &SessionLimits) -> bool {
        self.holder.is_person() && now.duration_since(self.began) < limits.proof
    }
}

/// The sessions that are open, by id.
#[derive(Debug)]
pub struct OpenSessions {
    limits: SessionLimits,
    open: HashMap<SessionId, Session>,
    kept: usize,
}

impl OpenSessions {
    /// No sessions.
    pub fn new(limits: SessionLimits) -> Self {
        Self {
            limits,
            open: HashMap::new(),
            kept: 0,
        }
    }

    /// Begins a session and seals the welcome. Over a limit, evicts a session of the account, or of the account that
    /// has most.
    pub fn begin(
        &mut self,
        holder: Holder,
        remote: IpAddr,
        session_key: &[u8; SESSION_KEY_LEN],
        welcome: &[u8],
        now: Instant,
    ) -> Sealed {
        self.sweep(now);
        let account = holder.account;
        let mut own = self.open.values().filter(|s| s.holder.account == account);
        if own.by_ref().count() >= self.limits.per_account {
            self.drop_least_used(Some(account));
        }
        if self.open.len() >= self.limits.total {
            self.drop_least_used(None);
        }
        let channel = ServerChannel::new(session_key);
        let sealed = channel.welcome(welcome);
        let state = Session {
            channel,
            holder,
            remote,
            opening: None,
            is_confirmed: false,
            staged: None,
            began: now,
            phase: Phase::Idle,
            last_used: now,
            ends: now + self.limits.lifetime,
            kept: 0,
            answered: watch::Sender::new(0),
        };
        self.open.insert(session_id(session_key), state);
        sealed
    }

    /// Whether the session exists.
    pub fn knows(&self, id: &SessionId) -> bool {
        self.open.contains_key(id)
    }

    /// Opens a sealed request.
    pub fn open(&mut self, sealed: &Sealed, now: Instant) -> Result<Opened, Refusal> {
        let session = self
            .open
            .get_mut(&sealed.session)
            .filter(|session| !session.has_ended(now, &self.limits))
            .ok_or(Refusal::NoSession)?;
        let received = if session.phase == Phase::Closed {
            // A closed session answers repetitions only.
            match session.channel.receive(sealed) {
                Ok(Received::Repeated(answer)) => return Ok(Opened::Repeated(answer)),
                _ => return Err(Refusal::NoSession),
            }
        } else {
            session.channel.receive(sealed)
        };
        match received {
            Ok(Received::New(plaintext)) => {
                session.last_used = now;
                session.phase = Phase::Working;
                let context = Context {
                    session: sealed.session,
                    account: session.holder.account,
                    counter: sealed.counter,
                    is_person: session.holder.is_person(),
                    is_proven: session.is_proven(now, &self.limits),
                    by: (session.holder.slot, session.holder.generation),
                    epoch: session.holder.epoch,
                    signing: session.holder.signing,
                    opening: session.opening.clone().map(Box::new),
                    is_confirmed: session.is_confirmed,
                };
                Ok(Opened::New(context, plaintext))
            }
            Ok(Received::Repeated(answer)) => {
                session.last_used = now;
                Ok(Opened::Repeated(answer))
            }
            Err(ChannelError::Busy) => Ok(Opened::Busy(session.answered.subscribe())),
            Err(ChannelError::OutOfOrder | ChannelError::DoesNotOpen) => Err(Refusal::OutOfOrder),
        }
    }

    /// Seals the answer to the current request and keeps it for repetitions. `is_done` says that it is no refusal, which
    /// confirms the session; `close` ends the session.
    pub fn seal(
        &mut self,
        id: &SessionId,
        answer: &[u8],
        is_done: bool,
        close: bool,
        now: Instant,
    ) -> Result<Sealed, Refusal> {
        let session = self.open.get_mut(id).ok_or(Refusal::NoSession)?;
        let sealed = session
            .channel
            .answer(answer)
            .map_err(|_| Refusal::OutOfOrder)?;
        session.last_used = now;
        session.is_confirmed |= is_done;
        session.phase = if close { Phase::Closed } else { Phase::Idle };
        self.kept -= session.kept;
        session.kept = sealed.body.len();
        self.kept += session.kept;
        session.answered.send_modify(|count| *count += 1);
        self.shrink(id);
        Ok(sealed)
    }

    /// The session as the origin of a request for new credentials.
    pub fn asker(&self, id: &SessionId, now: Instant) -> Result<Asker<'_>, Refusal> {
        let session = self.open.get(id).ok_or(Refusal::NoSession)?;
        Ok(Asker {
            holder: &session.holder,
            is_proven: session.is_proven(now, &self.limits),
        })
    }

    /// Binds the session to the device whose key its first valid opening authorises.
    pub fn bind(&mut self, id: &SessionId, opening: Opening) {
        if let Some(session) = self.open.get_mut(id) {
            session.opening.get_or_insert(opening);
        }
    }

    /// Notes that the staged credentials were installed, and whether a key epoch began with them.
    pub fn installed(&mut self, id: &SessionId, slots: &[SlotRecord], begins_epoch: bool) {
        let Some(session) = self.open.get_mut(id) else {
            return;
        };
        session.staged = None;
        session.holder.epoch += u32::from(begins_epoch);
        let mut slots = slots.iter();
        if let Some(by) = slots.find(|new| new.slot == session.holder.slot) {
            session.holder.generation = by.wrapped.generation;
        }
    }

    /// Keeps credentials that are not proven yet; replaces earlier ones.
    pub fn stage(&mut self, id: &SessionId, staged: Staged) {
        if let Some(session) = self.open.get_mut(id) {
            session.staged = Some(staged);
        }
    }

    /// The credentials of this session that are not proven yet.
    pub fn staged(&self, id: &SessionId) -> Option<&Staged> {
        self.open.get(id)?.staged.as_ref()
    }

    /// Ends sessions of an account, all but `keep`: those that the credential of one slot opened, or all.
    pub fn end(&mut self, account: &AccountId, keep: &SessionId, by: Option<Slot>) {
        let ended = self.open.iter().filter(|(id, session)| {
            session.holder.account == *account
                && *id != keep
                && by.is_none_or(|slot| session.holder.slot == slot)
        });
        let ended: Vec<SessionId> = ended.map(|(id, _)| *id).collect();
        for id in ended {
            self.remove(&id);
        }
    }

    /// The sessions of an account, newest first; `own` is marked.
    pub fn list(&self, account: &AccountId, asking: &SessionId, now: Instant) -> Vec<SessionInfo> {
        let own = self
            .open
            .iter()
            .filter(|(_, session)| session.holder.account == *account)
            .filter(|(_, session)| session.phase != Phase::Closed)
            .filter(|(_, session)| !session.has_ended(now, &self.limits));
        let mut listed: Vec<SessionInfo> = own
            .map(|(id, session)| SessionInfo {
                slot: session.holder.slot,
                device: match session.holder.slot {
                    Slot::Device(device) => Some(device),
                    Slot::Password | Slot::Recovery => session.opening.as_ref().map(DeviceId::from),
                },
                remote: session.remote.to_canonical().to_string(),
                age_seconds: now.duration_since(session.began).as_secs(),
                idle_seconds: now.duration_since(session.last_used).as_secs(),
                own: id == asking,
            })
            .collect();
        listed.sort_by_key(|session| session.age_seconds);
        listed.truncate(MAX_SESSIONS);
        listed
    }

    /// Drops sessions that have ended.
    pub fn sweep(&mut self, now: Instant) {
        let limits = self.limits;
        let kept = &mut self.kept;
        self.open.retain(|_, session| {
            let stays = !session.has_ended(now, &limits);
            if !stays {
                *kept -= session.kept;
            }
            stays
        });
    }

    fn remove(&mut self, id: &SessionId) {
        if let Some(session) = self.open.remove(id) {
            self.kept -= session.kept;
        }
    }

    /// Evicts the least recently used session of the account; idle ones before those that carry out a request.
    /// Without an account, of the one that has most sessions, so that an account with many sessions cannot push out
    /// others.
    fn drop_least_used(&mut self, account: Option<AccountId>) {
        let Some(account) = account.or_else(|| self.most_crowded()) else {
            return;
        };
        let victim = self
            .open
            .iter()
            .filter(|(_, session)| session.holder.account == account)
            .min_by_key(|(_, session)| (session.phase == Phase::Working, session.last_used))
            .map(|(id, _)| *id);
        if let Some(id) = victim {
            self.remove(&id);
        }
    }

    /// The account with most sessions; among equals the least recently used one.
    fn most_crowded(&self) -> Option<AccountId> {
        let mut accounts: HashMap<AccountId, (usize, Instant)> = HashMap::new();
        for session in self.open.values() {
            let (count, used) = accounts
                .entry(session.holder.account)
                .or_insert((0, session.last_used));
            *count += 1;
            *used = session.last_used.max(*used);
        }
        accounts
            .into_iter()
            .max_by_key(|(_, (count, used))| (*count, Reverse(*used)))
            .map(|(account, _)| account)
    }

    /// Enforces the limit of kept answers: evicts the session with the largest one first.
    fn shrink(&mut self, answered: &SessionId) {
        while self.kept > self.limits.kept_answers {
            let victim = self
                .open
                .iter()
                .filter(|(id, session)| *id != answered && session.phase != Phase::Working)
                .max_by_key(|(_, session)| session.kept)
                .map(|(id, _)| *id);
            let Some(id) = victim else { return };
            self.remove(&id);
        }
    }
}
