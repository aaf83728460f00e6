//! Registration: `POST /v2/register/start` and `/v2/register/finish`.

use std::net::IpAddr;

use shared::ids::Digest;
use shared::wire::Registration;
use shared::wire::error::Refusal;
use shared::wire::register::{RegisterFinish, RegisterResponse, RegisterStart};

use crate::operations::service::Service;
use crate::sessions::{self, Sessions};
use crate::storage::ask;
use storage::api::{self, AddInvite};

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
        sessions::ask(&self.sessions, move |all, now| {
            all.start_registration(message, invite, remote, now)
        })
        .await?
    }

    /// The digest of the invite code, where the server requires one. Imports the invite if it is still a file.
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
        let finish = move |all: &mut Sessions, now| all.finish_registration(message, now);
        let registered = sessions::ask(&self.sessions, finish).await??;
        let register = api::Register {
            account: registered.account,
            genesis: registered.genesis,
            invite: registered.invite,
            remote,
        };
        ask(&self.storage, register).await
    }
}
