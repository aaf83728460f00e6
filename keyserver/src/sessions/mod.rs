//! The sessions actor: the only owner of pending logins and registrations and of open sessions. Passes the time to
//! the state machines below it.

pub mod enrolment;
pub mod login;
pub mod rates;
pub mod registration;
pub mod session;
pub mod table;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Actor, AsyncContext as _, Context as ActorContext, Handler, Message};
use opaque_ke::ServerSetup;
use serde_bytes::ByteBuf;
use shared::channel::{SESSION_KEY_LEN, Sealed};
use shared::ids::{AccountId, Digest, PendingId, SessionId};
use shared::opaque::{Slot, Suite};
use shared::request::Opening;
use shared::wire::error::Refusal;
use shared::wire::login::{LoginFinish, LoginResponse, LoginStart};
use shared::wire::register::{
    RegisterFinish, RegisterResponse, RegisterStart, SlotRecord, SlotRequest,
};
use shared::wire::slots::{SessionInfo, Stage};
use zeroize::Zeroizing;

use crate::sessions::enrolment::{Holder, Staged};
use crate::sessions::login::{Finished, PendingLogin};
use crate::sessions::rates::{RateKey, Rates};
use crate::sessions::registration::{PendingRegistration, Registered, ServerIdentity};
use crate::sessions::session::{OpenSessions, Opened, SessionLimits};
use crate::sessions::table::Pending;
use storage::api::Account;

const SWEEP: Duration = Duration::from_secs(5);

/// Limits of what the actor holds.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most registrations, and most logins, that are started and not finished.
    pub pending: usize,
    /// How long they may take.
    pub pending_timeout: Duration,
    /// Limits of open sessions.
    pub sessions: SessionLimits,
    /// Audit records that an account's sessions may cause per second, in the long run.
    pub record_rate: u32,
    /// Audit records that they may cause at once.
    pub record_burst: u32,
}

/// The actor.
pub struct Sessions {
    setup: ServerSetup<Suite>,
    server: ServerIdentity,
    registrations: Pending<PendingId, PendingRegistration>,
    logins: Pending<PendingId, PendingLogin>,
    channels: OpenSessions,
    rates: Rates,
}

impl Sessions {
    /// An actor with nothing pending and nothing open.
    pub fn new(setup: ServerSetup<Suite>, server: ServerIdentity, limits: Limits) -> Self {
        Self {
            setup,
            server,
            registrations: Pending::new(limits.pending, limits.pending_timeout),
            logins: Pending::new(limits.pending, limits.pending_timeout),
            channels: OpenSessions::new(limits.sessions),
            rates: Rates::new(limits.record_rate, limits.record_burst),
        }
    }

    /// Counts bytes of a session's request or answer against the rate of its account.
    fn charge(&mut self, session: &SessionId, bytes: usize, now: Instant) {
        if let Ok(asker) = self.channels.asker(session, now) {
            let who = RateKey {
                account: asker.holder.account,
                is_person: asker.holder.is_person(),
                is_proven: asker.is_proven,
            };
            self.rates.charge(who, bytes, now);
        }
    }
}

impl Actor for Sessions {
    type Context = ActorContext<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_interval(SWEEP, |actor, _| {
            let now = Instant::now();
            actor.registrations.sweep(now);
            actor.logins.sweep(now);
            actor.channels.sweep(now);
            actor.rates.sweep(now);
        });
    }
}

/// Starts a registration that storage has checked.
#[derive(Debug, Message)]
#[rtype(result = "Result<RegisterResponse, Refusal>")]
pub struct StartRegistration {
    /// The message of the client.
    pub message: RegisterStart,
    /// SHA-256 of the invite code, if the server requires one.
    pub invite: Option<Digest>,
    /// Address of the client.
    pub remote: IpAddr,
}

impl Handler<StartRegistration> for Sessions {
    type Result = Result<RegisterResponse, Refusal>;

    fn handle(&mut self, start: StartRegistration, _: &mut Self::Context) -> Self::Result {
        let (state, responses) =
            PendingRegistration::start(&self.setup, start.message, start.invite)?;
        let pending = PendingId::random();
        self.registrations
            .insert(pending, state, start.remote, Instant::now());
        Ok(RegisterResponse { pending, responses })
    }
}

/// Finishes a registration. A second attempt is refused as [`Refusal::NoSuchPending`].
#[derive(Debug, Message)]
#[rtype(result = "Result<Registered, Refusal>")]
pub struct FinishRegistration {
    /// The message of the client.
    pub message: RegisterFinish,
    /// Milliseconds since 1970-01-01 UTC.
    pub now_ms: u64,
}

impl Handler<FinishRegistration> for Sessions {
    type Result = Result<Registered, Refusal>;

    fn handle(&mut self, finish: FinishRegistration, _: &mut Self::Context) -> Self::Result {
        let message = finish.message;
        self.registrations
            .take(&message.pending, Instant::now())
            .ok_or(Refusal::NoSuchPending)?
            .finish(&self.server, message.slots, message.entries, finish.now_ms)
    }
}

/// Starts a login after storage has counted the attempt.
#[derive(Debug, Message)]
#[rtype(result = "Result<LoginResponse, Refusal>")]
pub struct StartLogin {
    /// The message of the client.
    pub message: LoginStart,
    /// The account; for `None` the login goes on with a fake record.
    pub account: Option<Account>,
    /// Address of the client.
    pub remote: IpAddr,
}

impl Handler<StartLogin> for Sessions {
    type Result = Result<LoginResponse, Refusal>;

    fn handle(&mut self, start: StartLogin, _: &mut Self::Context) -> Self::Result {
        let (state, ke2) = PendingLogin::start(
            &self.setup,
            self.server.server,
            start.message,
            start.account,
        )?;
        let pending = PendingId::random();
        self.logins
            .insert(pending, state, start.remote, Instant::now());
        Ok(LoginResponse { pending, ke2 })
    }
}

/// Finishes a login. Refused as [`Refusal::LoginRefused`] if it is unknown, expired or finished.
#[derive(Debug, Message)]
#[rtype(result = "Result<Finished, Refusal>")]
pub struct FinishLogin(pub LoginFinish);

impl Handler<FinishLogin> for Sessions {
    type Result = Result<Finished, Refusal>;

    fn handle(&mut self, finish: FinishLogin, _: &mut Self::Context) -> Self::Result {
        self.logins
            .take(&finish.0.pending, Instant::now())
            .map(|pending| pending.finish(&finish.0.ke3))
            .ok_or(Refusal::LoginRefused)
    }
}

/// Begins the session of a login that is proven and recorded; answered by the sealed welcome.
#[derive(Message)]
#[rtype(result = "Sealed")]
pub struct Begin {
    /// Account and credential of the session.
    pub holder: Holder,
    /// Address of the client.
    pub remote: IpAddr,
    /// OPAQUE's session key.
    pub session_key: Zeroizing<[u8; SESSION_KEY_LEN]>,
    /// The encoded welcome.
    pub welcome: Vec<u8>,
}

impl Handler<Begin> for Sessions {
    type Result = actix::MessageResult<Begin>;

    fn handle(&mut self, begin: Begin, _: &mut Self::Context) -> Self::Result {
        actix::MessageResult(self.channels.begin(
            begin.holder,
            begin.remote,
            &begin.session_key,
            &begin.welcome,
            Instant::now(),
        ))
    }
}

/// Opens a sealed request.
#[derive(Debug, Message)]
#[rtype(result = "Result<Opened, Refusal>")]
pub struct Open(pub Arc<Sealed>);

impl Handler<Open> for Sessions {
    type Result = Result<Opened, Refusal>;

    fn handle(&mut self, open: Open, _: &mut Self::Context) -> Self::Result {
        let now = Instant::now();
        let opened = self.channels.open(&open.0, now)?;
        let bytes = match &opened {
            Opened::New(..) => open.0.body.len(),
            Opened::Repeated(answer) => answer.body.len(),
            Opened::Busy(_) => 0,
        };
        self.charge(&open.0.session, bytes, now);
        Ok(opened)
    }
}

/// Seals the answer to the opened request.
#[derive(Message)]
#[rtype(result = "Result<Sealed, Refusal>")]
pub struct Seal {
    /// The session.
    pub session: SessionId,
    /// The encoded answer.
    pub answer: ByteBuf,
    /// Whether it is no refusal: then the requests after this one carry no opening.
    pub is_done: bool,
    /// Whether the session ends with it.
    pub close: bool,
}

impl Handler<Seal> for Sessions {
    type Result = Result<Sealed, Refusal>;

    fn handle(&mut self, seal: Seal, _: &mut Self::Context) -> Self::Result {
        let now = Instant::now();
        self.charge(&seal.session, seal.answer.len(), now);
        self.channels
            .seal(&seal.session, &seal.answer, seal.is_done, seal.close, now)
    }
}

/// Whether a session exists; asked before a long body is read for it.
#[derive(Debug, Message)]
#[rtype(result = "bool")]
pub struct Knows(pub SessionId);

impl Handler<Knows> for Sessions {
    type Result = bool;

    fn handle(&mut self, knows: Knows, _: &mut Self::Context) -> Self::Result {
        self.channels.knows(&knows.0)
    }
}

/// Answers registration requests for new credentials.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<ByteBuf>, Refusal>")]
pub struct Enrol {
    /// The session.
    pub session: SessionId,
    /// One request per slot.
    pub requests: Vec<SlotRequest>,
}

impl Handler<Enrol> for Sessions {
    type Result = Result<Vec<ByteBuf>, Refusal>;

    fn handle(&mut self, enrol: Enrol, _: &mut Self::Context) -> Self::Result {
        let asker = self.channels.asker(&enrol.session, Instant::now())?;
        enrolment::enrol(&self.setup, asker, &enrol.requests)
    }
}

/// Stages new credentials, and answers the first messages of the logins by them.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<ByteBuf>, Refusal>")]
pub struct StageSlots {
    /// The session.
    pub session: SessionId,
    /// The credentials.
    pub stage: Stage,
}

impl Handler<StageSlots> for Sessions {
    type Result = Result<Vec<ByteBuf>, Refusal>;

    fn handle(&mut self, message: StageSlots, _: &mut Self::Context) -> Self::Result {
        let asker = self.channels.asker(&message.session, Instant::now())?;
        let (staged, ke2) = Staged::start(&self.setup, self.server.server, asker, message.stage)?;
        self.channels.stage(&message.session, staged);
        Ok(ke2)
    }
}

/// Checks the last messages of those logins; without staged credentials there are none. The credentials stay staged, since
/// storage may still answer with a conflict.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<SlotRecord>, Refusal>")]
pub struct ProveSlots {
    /// The session.
    pub session: SessionId,
    /// One KE3 per slot.
    pub ke3: Vec<ByteBuf>,
}

impl Handler<ProveSlots> for Sessions {
    type Result = Result<Vec<SlotRecord>, Refusal>;

    fn handle(&mut self, message: ProveSlots, _: &mut Self::Context) -> Self::Result {
        match self.channels.staged(&message.session) {
            Some(staged) => staged.prove(&message.ke3),
            None if message.ke3.is_empty() => Ok(Vec::new()),
            None => Err(Refusal::Malformed),
        }
    }
}

/// Ends sessions of an account.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct End {
    /// The account.
    pub account: AccountId,
    /// The session that stays.
    pub keep: SessionId,
    /// The slot whose credential opened the sessions that end; `None` for all slots.
    pub by: Option<Slot>,
}

impl Handler<End> for Sessions {
    type Result = ();

    fn handle(&mut self, end: End, _: &mut Self::Context) -> Self::Result {
        self.channels.end(&end.account, &end.keep, end.by);
    }
}

/// The staged credentials of a session were installed: it goes on under the one that replaced its own, and under the key
/// epoch that its request began.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Installed {
    /// The session.
    pub session: SessionId,
    /// The new credentials.
    pub slots: Vec<SlotRecord>,
    /// Whether a key epoch began.
    pub begins_epoch: bool,
}

impl Handler<Installed> for Sessions {
    type Result = ();

    fn handle(&mut self, installed: Installed, _: &mut Self::Context) -> Self::Result {
        let (slots, begins_epoch) = (&installed.slots, installed.begins_epoch);
        self.channels
            .installed(&installed.session, slots, begins_epoch);
    }
}

/// Binds a session to the device whose key a verified opening authorises.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Bind {
    /// The session.
    pub session: SessionId,
    /// The opening.
    pub opening: Opening,
}

impl Handler<Bind> for Sessions {
    type Result = ();

    fn handle(&mut self, bind: Bind, _: &mut Self::Context) -> Self::Result {
        self.channels.bind(&bind.session, bind.opening);
    }
}

/// Counts the operations of a request; refused over the rate limit.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), Refusal>")]
pub struct Spend {
    /// The account, and the kind of its session.
    pub who: RateKey,
    /// Number of audit records that the request causes.
    pub operations: usize,
}

impl Handler<Spend> for Sessions {
    type Result = Result<(), Refusal>;

    fn handle(&mut self, spend: Spend, _: &mut Self::Context) -> Self::Result {
        let operations = u32::try_from(spend.operations).unwrap_or(u32::MAX);
        let now = Instant::now();
        let may = self.rates.spend(spend.who, operations, now);
        may.map_err(|wait| {
            Refusal::Throttled(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1))
        })
    }
}

/// Lists the sessions of the account of this session.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<SessionInfo>, Refusal>")]
pub struct List(pub SessionId);

impl Handler<List> for Sessions {
    type Result = Result<Vec<SessionInfo>, Refusal>;

    fn handle(&mut self, list: List, _: &mut Self::Context) -> Self::Result {
        let now = Instant::now();
        let account = self.channels.asker(&list.0, now)?.holder.account;
        Ok(self.channels.list(&account, &list.0, now))
    }
}
