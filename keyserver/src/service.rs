//! The API without HTTP: what each message does, in terms of the actors. Sessions decide, storage records, and only
//! then there is an answer.

use std::net::IpAddr;
use std::time::Duration;

use actix::{Addr, MailboxError};
use shared::channel::{Sealed, session_id};
use shared::codec;
use shared::ids::Digest;
use shared::wire::error::Refusal;
use shared::wire::login::{LoginFinish, LoginResponse, LoginStart, Welcome};
use shared::wire::register::{RegisterFinish, RegisterResponse, RegisterStart};
use shared::wire::{Hello, Registration};
use storage::api::{self, Account};
use storage::now_ms;

use crate::admin::invites::Invites;
use crate::audit::Audit;
use crate::sessions::enrolment::Holder;
use crate::sessions::login::{self, Finished, Proven};
use crate::sessions::registration::ServerIdentity;
use crate::sessions::{
    Begin, FinishLogin, FinishRegistration, Sessions, StartLogin, StartRegistration,
};
use crate::storage::{Storage, ask};

/// Longest invite code that is hashed, in bytes.
const MAX_INVITE_LEN: usize = 128;

/// The actors, and what the server says about itself.
#[derive(Clone)]
pub struct Service {
    /// Pending and open sessions.
    pub sessions: Addr<Sessions>,
    /// The database.
    pub storage: Addr<Storage>,
    /// Checkpoints and proofs.
    pub audit: Addr<Audit>,
    /// Who this server is.
    pub identity: ServerIdentity,
    /// Who may make an account.
    pub registration: Registration,
    /// Invites that were made beside the running server.
    pub invites: Invites,
    /// How long a repeated request waits for the first one's answer.
    pub repeat_wait: Duration,
    /// After so long without a request a session ends.
    pub session_idle: Duration,
    /// After so long it ends in any case.
    pub session_lifetime: Duration,
}

impl Service {
    /// Who the server says it is.
    pub fn hello(&self) -> Hello {
        Hello {
            protocol: shared::PROTOCOL_VERSION,
            server: self.identity.server,
            opaque_key: self.identity.opaque_key,
            checkpoint_key: self.identity.checkpoint_key,
            registration: self.registration,
        }
    }

    /// Starts a registration where the name is free and the invite good.
    pub async fn register_start(
        &self,
        message: RegisterStart,
        remote: IpAddr,
    ) -> Result<RegisterResponse, Refusal> {
        if self.registration == Registration::Closed {
            return Err(Refusal::RegistrationClosed);
        }
        ask(&self.storage, api::StartRegistration { remote }).await?;
        let invite = self.invite(&message).await?;
        let check = api::CheckRegistration {
            name: message.account.clone(),
            invite,
        };
        ask(&self.storage, check).await?;
        let start = StartRegistration {
            message,
            invite,
            remote,
        };
        self.sessions.send(start).await.map_err(gone)?
    }

    async fn invite(&self, message: &RegisterStart) -> Result<Option<Digest>, Refusal> {
        if self.registration != Registration::Invite {
            return Ok(None);
        }
        let code = message.invite.as_ref().ok_or(Refusal::InviteRequired)?;
        if code.len() > MAX_INVITE_LEN {
            return Err(Refusal::InviteRequired);
        }
        let digest = Digest::of(code.as_bytes());
        self.invites.import(&self.storage, digest).await?;
        Ok(Some(digest))
    }

    /// Makes the account.
    pub async fn register_finish(
        &self,
        message: RegisterFinish,
        remote: IpAddr,
    ) -> Result<(), Refusal> {
        let finish = FinishRegistration {
            message,
            now_ms: now_ms(),
        };
        let registered = self.sessions.send(finish).await.map_err(gone)??;
        let register = api::Register {
            account: registered.account,
            genesis: registered.genesis,
            invite: registered.invite,
            remote,
        };
        ask(&self.storage, register).await
    }

    /// Counts and records the try, then answers KE1 with KE2: the same way for names that nobody has.
    pub async fn login_start(
        &self,
        message: LoginStart,
        remote: IpAddr,
    ) -> Result<LoginResponse, Refusal> {
        login::check(&message)?;
        let account = self.count_login(&message, remote).await?;
        self.answer_login(message, account, remote).await
    }

    /// Counts and records the try; `None` for a name that nobody has.
    pub async fn count_login(
        &self,
        message: &LoginStart,
        remote: IpAddr,
    ) -> Result<Option<Account>, Refusal> {
        let start = api::StartLogin {
            name: message.account.clone(),
            slot: message.slot,
            remote,
        };
        ask(&self.storage, start).await
    }

    /// Answers KE1 with KE2.
    pub async fn answer_login(
        &self,
        message: LoginStart,
        account: Option<Account>,
        remote: IpAddr,
    ) -> Result<LoginResponse, Refusal> {
        let start = StartLogin {
            message,
            account,
            remote,
        };
        self.sessions.send(start).await.map_err(gone)?
    }

    /// Checks KE3, records the outcome, then begins the session.
    pub async fn login_finish(
        &self,
        message: LoginFinish,
        remote: IpAddr,
    ) -> Result<Sealed, Refusal> {
        let proven = self.check_proof(message, remote).await?;
        let (proven, welcome) = self.record_login(proven, remote).await?;
        self.begin(&proven, &welcome, remote).await
    }

    /// Checks KE3, and records a wrong one.
    pub async fn check_proof(
        &self,
        message: LoginFinish,
        remote: IpAddr,
    ) -> Result<Proven, Refusal> {
        match self
            .sessions
            .send(FinishLogin(message))
            .await
            .map_err(gone)??
        {
            Finished::Proven(proven) => Ok(proven),
            Finished::Wrong(name) => {
                let finish = api::FinishLogin {
                    name,
                    success: None,
                    remote,
                };
                ask(&self.storage, finish).await?;
                Err(Refusal::LoginRefused)
            }
        }
    }

    /// Records a login that succeeded, if its credential still holds.
    pub async fn record_login(
        &self,
        proven: Proven,
        remote: IpAddr,
    ) -> Result<(Proven, Welcome), Refusal> {
        let session = session_id(&proven.session_key);
        let finish = api::FinishLogin {
            name: proven.name.clone(),
            success: Some(api::Success {
                account: proven.account,
                session,
                slot: proven.slot,
                wrapped: proven.wrapped.clone(),
            }),
            remote,
        };
        let head = ask(&self.storage, finish).await?;
        let welcome = Welcome {
            account: proven.account,
            wrapped: proven.wrapped.clone(),
            head,
            idle_seconds: whole_seconds(self.session_idle),
            lifetime_seconds: whole_seconds(self.session_lifetime),
        };
        Ok((proven, welcome))
    }

    /// Begins the session of a login that is recorded.
    pub async fn begin(
        &self,
        proven: &Proven,
        welcome: &Welcome,
        remote: IpAddr,
    ) -> Result<Sealed, Refusal> {
        let begin = Begin {
            holder: Holder {
                account: proven.account,
                name: proven.name.clone(),
                slot: proven.slot,
                generation: proven.wrapped.generation,
                epoch: proven.wrapped.epoch,
            },
            remote,
            session_key: proven.session_key.clone(),
            welcome: codec::encode(welcome).map_err(|_| Refusal::Internal)?,
        };
        self.sessions.send(begin).await.map_err(gone)
    }
}

/// An actor that does not answer has stopped: the server is shutting down.
pub fn gone(_: MailboxError) -> Refusal {
    Refusal::Unavailable
}

fn whole_seconds(span: Duration) -> u32 {
    u32::try_from(span.as_secs()).unwrap_or(u32::MAX)
}
