//! Registration: `POST /v2/register/start` and `/v2/register/finish`.

use std::net::IpAddr;

use shared::ids::Digest;
use shared::wire::Registration;
use shared::wire::error::Refusal;
use shared::wire::register::{RegisterFinish, RegisterResponse, RegisterStart};

use crate::operations::service::{Service, gone};
use crate::sessions::{FinishRegistration, StartRegistration};
use crate::storage::ask;
use storage::api::{self, AddInvite};
use storage::now_ms;

/// Longest invite code that is hashed, in bytes.
const MAX_INVITE_LEN: usize = 128;

impl Service {
    /// Starts a registration if the name is free and the invite valid.
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

    /// The digest of the invite code, where the server asks for one. Imports the invite if it is still a file.
    async fn invite(&self, message: &RegisterStart) -> Result<Option<Digest>, Refusal> {
        if self.registration != Registration::Invite {
            return Ok(None);
        }
        let code = message.invite.as_ref().ok_or(Refusal::InviteRequired)?;
        if code.len() > MAX_INVITE_LEN {
            return Err(Refusal::InviteRequired);
        }
        let code = Digest::of(code.as_bytes());
        let add = async |expires_ms| ask(&self.storage, AddInvite { code, expires_ms }).await;
        self.invites.import(&code, add).await?;
        Ok(Some(code))
    }

    /// Creates the account.
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
            entries: registered.entries,
            invite: registered.invite,
            remote,
        };
        ask(&self.storage, register).await
    }
}
