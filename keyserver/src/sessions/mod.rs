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
use std::time::{Duration, Instant};

use actix::{Actor, Addr, AsyncContext as _, Context, Handler, Message, MessageResult};
use opaque_ke::ServerSetup;
use serde_bytes::ByteBuf;
use shared::ids::{Digest, PendingId, SessionId};
use shared::opaque::Suite;
use shared::wire::error::Refusal;
use shared::wire::login::{LoginFinish, LoginResponse, LoginStart};
use shared::wire::register::{
    RegisterFinish, RegisterResponse, RegisterStart, SlotRecord, SlotRequest,
};
use shared::wire::slots::{SessionInfo, Stage};

use crate::sessions::enrolment::Staged;
use crate::sessions::login::{Finished, PendingLogin};
use crate::sessions::rates::{RateKey, Rates};
use crate::sessions::registration::{PendingRegistration, Registered, ServerIdentity};
use crate::sessions::session::{OpenSessions, SessionLimits};
use crate::sessions::table::Pending;
use storage::api::Account;
use storage::now_ms;

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
    /// Open sessions.
    pub channels: OpenSessions,
    setup: ServerSetup<Suite>,
    server: ServerIdentity,
    registrations: Pending<PendingId, PendingRegistration>,
    logins: Pending<PendingId, PendingLogin>,
    rates: Rates,
}

impl Actor for Sessions {
    type Context = Context<Self>;

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

/// A call on the state of the actor, with the time at which it is made.
type Call<T> = dyn FnOnce(&mut Sessions, Instant) -> T + Send;

/// A message to the actor: one call.
pub struct Ask<T>(Box<Call<T>>);

impl<T: 'static> Message for Ask<T> {
    type Result = T;
}

impl<T: 'static> Handler<Ask<T>> for Sessions {
    type Result = MessageResult<Ask<T>>;

    fn handle(&mut self, ask: Ask<T>, _: &mut Self::Context) -> Self::Result {
        MessageResult((ask.0)(self, Instant::now()))
    }
}

/// Sends one call to the actor and returns its result.
///
/// # Errors
/// [`Refusal::Unavailable`] where the actor has stopped: the server is shutting down.
pub async fn ask<T: Send + 'static>(
    sessions: &Addr<Sessions>,
    call: impl FnOnce(&mut Sessions, Instant) -> T + Send + 'static,
) -> Result<T, Refusal> {
    let sent = sessions.send(Ask(Box::new(call))).await;
    sent.map_err(|_| Refusal::Unavailable)
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

    /// Starts a registration that storage has checked. Takes the SHA-256 of the invite code, if the server requires one.
    pub fn start_registration(
        &mut self,
        message: RegisterStart,
        invite: Option<Digest>,
        remote: IpAddr,
        now: Instant,
    ) -> Result<RegisterResponse, Refusal> {
        let (state, responses) = PendingRegistration::start(&self.setup, message, invite)?;
        let pending = PendingId::random();
        self.registrations.insert(pending, state, remote, now);
        Ok(RegisterResponse { pending, responses })
    }

    /// Finishes a registration. A second attempt is refused as [`Refusal::NoSuchPending`].
    pub fn finish_registration(
        &mut self,
        message: RegisterFinish,
        now: Instant,
    ) -> Result<Registered, Refusal> {
        self.registrations
            .take(&message.pending, now)
            .ok_or(Refusal::NoSuchPending)?
            .finish(&self.server, message.slots, message.genesis, now_ms())
    }

    /// Starts a login after storage has counted the attempt. Without an account the login goes on with a fake record.
    pub fn start_login(
        &mut self,
        message: LoginStart,
        account: Option<Account>,
        remote: IpAddr,
        now: Instant,
    ) -> Result<LoginResponse, Refusal> {
        let (state, ke2) = PendingLogin::start(&self.setup, self.server.server, message, account)?;
        let pending = PendingId::random();
        self.logins.insert(pending, state, remote, now);
        Ok(LoginResponse { pending, ke2 })
    }

    /// Finishes a login. Refused as [`Refusal::LoginRefused`] if it is unknown, expired or finished.
    pub fn finish_login(
        &mut self,
        message: &LoginFinish,
        now: Instant,
    ) -> Result<Finished, Refusal> {
        let pending = self.logins.take(&message.pending, now);
        let pending = pending.ok_or(Refusal::LoginRefused)?;
        Ok(pending.finish(&message.ke3))
    }

    /// Answers registration requests for new credentials, one per slot.
    pub fn enrol(
        &self,
        session: &SessionId,
        requests: &[SlotRequest],
        now: Instant,
    ) -> Result<Vec<ByteBuf>, Refusal> {
        enrolment::enrol(&self.setup, self.channels.asker(session, now)?, requests)
    }

    /// Stages new credentials, and answers the first messages of the logins by them.
    pub fn stage(
        &mut self,
        session: &SessionId,
        stage: Stage,
        now: Instant,
    ) -> Result<Vec<ByteBuf>, Refusal> {
        let asker = self.channels.asker(session, now)?;
        let (staged, ke2) = Staged::start(&self.setup, self.server.server, asker, stage)?;
        self.channels.stage(session, staged);
        Ok(ke2)
    }

    /// Checks the last messages of those logins, one KE3 per slot. The credentials stay staged, since storage may still
    /// answer with a conflict.
    pub fn prove(&self, session: &SessionId, ke3: &[ByteBuf]) -> Result<Vec<SlotRecord>, Refusal> {
        let staged = self.channels.staged(session);
        staged.ok_or(Refusal::Malformed)?.prove(ke3)
    }

    /// Counts the audit records that a request causes; refused over the rate limit.
    pub fn spend(&mut self, who: RateKey, records: usize, now: Instant) -> Result<(), Refusal> {
        let records = u32::try_from(records).unwrap_or(u32::MAX);
        self.rates.spend(who, records, now).map_err(|wait| {
            Refusal::Throttled(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1))
        })
    }

    /// Lists the sessions of the account of this session.
    pub fn list(&self, session: &SessionId, now: Instant) -> Result<Vec<SessionInfo>, Refusal> {
        let account = self.channels.asker(session, now)?.holder.account;
        Ok(self.channels.list(&account, session, now))
    }
}
