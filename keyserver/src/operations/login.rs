//! Login: `POST /v2/login/start` and `/v2/login/finish`. Each step is public on its own for servers in tests that lie.

use std::net::IpAddr;
use std::time::Duration;

use shared::channel::{SESSION_KEY_LEN, Sealed, session_id};
use shared::codec;
use shared::wire::error::Refusal;
use shared::wire::login::{LoginFinish, LoginResponse, LoginStart, Welcome};
use zeroize::Zeroizing;

use crate::operations::service::{Service, gone};
use crate::sessions::enrolment::Holder;
use crate::sessions::login::{self, Finished, Proven};
use crate::sessions::{Begin, FinishLogin, StartLogin};
use crate::storage::ask;
use storage::api::{self, Account};

impl Service {
    /// Counts and records the attempt, then answers KE1 with KE2. Unknown accounts take the same path.
    pub async fn login_start(
        &self,
        message: LoginStart,
        remote: IpAddr,
    ) -> Result<LoginResponse, Refusal> {
        login::check(&message)?;
        let account = self.count_login(&message, remote).await?;
        self.answer_login(message, account, remote).await
    }

    /// Counts and records the attempt; `None` for an unknown account.
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
        let (holder, welcome) = self.record_login(&proven, remote).await?;
        let session_key = proven.session_key;
        self.begin(holder, session_key, &welcome, remote).await
    }

    /// Checks KE3, and records the login as failed if KE3 is wrong.
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

    /// Records a login that succeeded, unless its credential was replaced meanwhile; returns what its session begins with.
    pub async fn record_login(
        &self,
        proven: &Proven,
        remote: IpAddr,
    ) -> Result<(Holder, Welcome), Refusal> {
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
        let begun = ask(&self.storage, finish).await?;
        let begun = begun.ok_or(Refusal::Internal)?;
        let welcome = Welcome {
            account: proven.account,
            wrapped: proven.wrapped.clone(),
            slot_key: begun.slot_key,
            history: begun.history,
            head: begun.head,
            idle_seconds: whole_seconds(self.session_idle),
            lifetime_seconds: whole_seconds(self.session_lifetime),
        };
        let holder = Holder {
            account: proven.account,
            name: proven.name.clone(),
            slot: proven.slot,
            generation: proven.wrapped.generation,
            epoch: begun.epoch,
            signing: begun.signing,
        };
        Ok((holder, welcome))
    }

    /// Begins the session of a recorded login; returns the sealed welcome.
    pub async fn begin(
        &self,
        holder: Holder,
        session_key: Zeroizing<[u8; SESSION_KEY_LEN]>,
        welcome: &Welcome,
        remote: IpAddr,
    ) -> Result<Sealed, Refusal> {
        let begin = Begin {
            holder,
            remote,
            session_key,
            welcome: codec::encode(welcome).map_err(|_| Refusal::Internal)?,
        };
        self.sessions.send(begin).await.map_err(gone)
    }
}

fn whole_seconds(span: Duration) -> u32 {
    u32::try_from(span.as_secs()).unwrap_or(u32::MAX)
}
