//! Login: `POST /v2/login/start` and `/v2/login/finish`. Each step is public on its own for servers in tests that lie.

use std::net::IpAddr;
use std::time::Duration;

use shared::channel::{Sealed, session_id};
use shared::codec;
use shared::wire::error::Refusal;
use shared::wire::login::{LoginFinish, LoginResponse, LoginStart, Welcome};

use crate::operations::service::Service;
use crate::sessions::enrolment::Holder;
use crate::sessions::login::{self, Finished, Proven};
use crate::sessions::{self, Sessions};
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
        sessions::ask(&self.sessions, move |all, now| {
            all.start_login(message, account, remote, now)
        })
        .await?
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

    /// Checks KE3, and records the login as failed if KE3 is wrong.
    pub async fn check_proof(
        &self,
        message: LoginFinish,
        remote: IpAddr,
    ) -> Result<Proven, Refusal> {
        let finish = move |all: &mut Sessions, now| all.finish_login(&message, now);
        match sessions::ask(&self.sessions, finish).await?? {
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

    /// Records a login that succeeded, unless its credential was replaced meanwhile.
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

    /// Begins the session of a recorded login; returns the sealed welcome.
    pub async fn begin(
        &self,
        proven: &Proven,
        welcome: &Welcome,
        remote: IpAddr,
    ) -> Result<Sealed, Refusal> {
        let holder = Holder {
            account: proven.account,
            name: proven.name.clone(),
            slot: proven.slot,
            generation: proven.wrapped.generation,
            epoch: proven.wrapped.epoch,
        };
        let key = proven.session_key.clone();
        let welcome = codec::encode(welcome).map_err(|_| Refusal::Internal)?;
        sessions::ask(&self.sessions, move |all, now| {
            all.channels.begin(holder, remote, &key, &welcome, now)
        })
        .await
    }
}

fn whole_seconds(span: Duration) -> u32 {
    u32::try_from(span.as_secs()).unwrap_or(u32::MAX)
}
