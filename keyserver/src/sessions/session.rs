//! Sessions, sans I/O: the sealed channel, who it belongs to, and when it ends.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use shared::channel::{ChannelError, Received, SESSION_KEY_LEN, Sealed, ServerChannel, session_id};
use shared::ids::{AccountId, DeviceId, SessionId};
use shared::opaque::Slot;
use shared::secret::SecretBytes;
use shared::wire::error::Refusal;
use shared::wire::limits::MAX_SESSIONS;
use shared::wire::register::SlotRecord;
use shared::wire::slots::SessionInfo;
use tokio::sync::watch;

use crate::sessions::enrolment::{Asker, Holder, Staged};

/// How long a closed session still repeats its last answer.
const FAREWELL: Duration = Duration::from_secs(10);

/// How many sessions there may be, and how long they last.
#[derive(Debug, Clone, Copy)]
pub struct SessionLimits {
    /// Most sessions.
    pub total: usize,
    /// Most sessions of one account.
    pub per_account: usize,
    /// Most bytes of answers kept for clients that ask again.
    pub kept_answers: usize,
    /// A session without a request for so long ends.
    pub idle: Duration,
    /// A session this old ends.
    pub lifetime: Duration,
    /// How long after a login with password or recovery code its session may change credentials.
    pub proof: Duration,
}

/// In which session, and as its which request, something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// The session.
    pub session: SessionId,
    /// Whose it is.
    pub account: AccountId,
    /// Number of the request.
    pub counter: u64,
    /// Whether it was opened with the password or the recovery code.
    pub is_person: bool,
    /// Whether that was just now.
    pub is_proven: bool,
    /// By which credential it was opened, and of which generation.
    pub by: (Slot, u64),
    /// Key epoch of the account key that it goes by.
    pub epoch: u32,
}

/// What a sealed message turns out to be.
#[derive(Debug)]
pub enum Opened {
    /// A new request, which must be answered by [`Sessions::seal`].
    New(Context, SecretBytes),
    /// The last request once more: this is the answer it got.
    Repeated(Sealed),
    /// A request is being worked on; the receiver hears when it was answered.
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
    /// Whose it is: of the credential, else as its first request says.
    device: Option<DeviceId>,
    staged: Option<Staged>,
    began: Instant,
    phase: Phase,
    last_used: Instant,
    ends: Instant,
    /// Length of the answer that the channel keeps.
    kept: usize,
    /// Counts answers; whoever waits for one listens here.
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

    /// Whether the owner proved just now who they are. Who finds the session open later has not.
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
    /// No sessions yet.
    pub fn new(limits: SessionLimits) -> Self {
        Self {
            limits,
            open: HashMap::new(),
            kept: 0,
        }
    }

    /// Begins a session and seals its welcome. Where there are too many one of the account makes room, or of the account
    /// that has most.
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
        let device = match holder.slot {
            Slot::Device(device) => Some(device),
            Slot::Password | Slot::Recovery => None,
        };
        let state = Session {
            channel,
            holder,
            remote,
            device,
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

    /// Whether there is such a session.
    pub fn knows(&self, id: &SessionId) -> bool {
        self.open.contains_key(id)
    }

    /// Takes a sealed request in.
    pub fn open(&mut self, sealed: &Sealed, now: Instant) -> Result<Opened, Refusal> {
        let session = self
            .open
            .get_mut(&sealed.session)
            .filter(|session| !session.has_ended(now, &self.limits))
            .ok_or(Refusal::NoSession)?;
        let received = if session.phase == Phase::Closed {
            // Only a repetition still gets its answer.
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

    /// Seals the answer to the request under way and keeps it; `close` ends the session with it.
    pub fn seal(
        &mut self,
        id: &SessionId,
        answer: &[u8],
        close: bool,
        now: Instant,
    ) -> Result<Sealed, Refusal> {
        let session = self.open.get_mut(id).ok_or(Refusal::NoSession)?;
        let sealed = session
            .channel
            .answer(answer)
            .map_err(|_| Refusal::OutOfOrder)?;
        session.last_used = now;
        session.phase = if close { Phase::Closed } else { Phase::Idle };
        self.kept -= session.kept;
        session.kept = sealed.body.len();
        self.kept += session.kept;
        session.answered.send_modify(|count| *count += 1);
        self.shrink(id);
        Ok(sealed)
    }

    /// Who asks for something in this session.
    pub fn asker(&self, id: &SessionId, now: Instant) -> Result<Asker<'_>, Refusal> {
        let session = self.open.get(id).ok_or(Refusal::NoSession)?;
        Ok(Asker {
            holder: &session.holder,
            is_proven: session.is_proven(now, &self.limits),
        })
    }

    /// Takes the word of a session's first request for its device; later ones say the same, so that whoever shuts a
    /// device out ends all of its sessions.
    pub fn bind(&mut self, id: &SessionId, device: DeviceId) -> Result<(), Refusal> {
        let session = self.open.get_mut(id).ok_or(Refusal::NoSession)?;
        if *session.device.get_or_insert(device) == device {
            return Ok(());
        }
        Err(Refusal::Malformed)
    }

    /// Notes that the credential which opened this session was replaced in it, by this one.
    pub fn replaced(&mut self, id: &SessionId, by: &SlotRecord) {
        if let Some(session) = self.open.get_mut(id)
            && session.holder.slot == by.slot
        {
            session.holder.generation = by.wrapped.generation;
            session.holder.epoch = by.wrapped.epoch;
        }
    }

    /// Keeps credentials that wait for their proof, in the place of any before.
    pub fn stage(&mut self, id: &SessionId, staged: Staged) {
        if let Some(session) = self.open.get_mut(id) {
            session.staged = Some(staged);
        }
    }

    /// What waits for its proof in this session.
    pub fn staged(&self, id: &SessionId) -> Option<&Staged> {
        self.open.get(id)?.staged.as_ref()
    }

    /// Ends sessions of an account, all but `keep`: those of one device, or of every device.
    pub fn end(&mut self, account: &AccountId, keep: &SessionId, device: Option<DeviceId>) {
        let is_of = |session: &Session, device: DeviceId| {
            session.device == Some(device) || session.holder.slot == Slot::Device(device)
        };
        let ended = self.open.iter().filter(|(id, session)| {
            session.holder.account == *account
                && *id != keep
                && device.is_none_or(|device| is_of(session, device))
        });
        let ended: Vec<SessionId> = ended.map(|(id, _)| *id).collect();
        for id in ended {
            self.remove(&id);
        }
    }

    /// The sessions of an account, as one of them sees them; the newest first.
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
                device: session.device,
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

    /// Ends the session of this account that is unused for longest, one under way last. Without an account: of the one
    /// that has most sessions, so that a crowd makes room for others and not they for it.
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

    /// The account with most sessions; among equals the one that was used last the longest ago.
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

    /// Keeps the answers within their bound at the cost of those who keep most, not of everyone.
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
