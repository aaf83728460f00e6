//! A vault's session: opened, used, opened again where it ended, and closed.

use std::sync::Arc;

use shared::opaque::Slot;
use shared::wire::call::Logout;
use shared::wire::operation::Operation;

use crate::device::pins::Pins;
use crate::error::{Error, Result};
use crate::frontend::Frontend;
use crate::opaque::login::LoginCredential;
use crate::session::Session;
use crate::vault::open::{DeviceState, Vault};

impl Vault {
    /// Opens the vault of a new session: loads the cached index, and syncs.
    ///
    /// # Errors
    /// [`Error::Verification`], and those of [`Session::ask`].
    pub async fn open(
        session: Session,
        frontend: Arc<dyn Frontend>,
        state: DeviceState,
        pins: Pins,
    ) -> Result<Self> {
        let mut vault = Self::new(session, frontend, state, pins);
        vault.index = vault.fitting_index().unwrap_or_default();
        vault.sync_once().await?;
        vault.check_credential(vault.session.by())?;
        Ok(vault)
    }

    /// Replays the entries that are new since the last sync; opens another session where this one has ended.
    ///
    /// # Errors
    /// [`Error::Verification`], and those of [`Session::ask`] and [`Frontend::password`].
    pub async fn sync(&mut self) -> Result<()> {
        match self.sync_once().await {
            Err(Error::SessionEnded) => self.resume().await,
            outcome => outcome,
        }
    }

    /// Replaces the session by a new login.
    pub(crate) async fn reopen(&mut self, by: LoginCredential<'_>) -> Result<()> {
        self.note_session();
        let mut pins = Some(self.pins.clone());
        self.session.reopen(by, &mut pins).await?;
        self.pins = pins.unwrap_or_else(|| self.pins.clone());
        Ok(())
    }

    /// Logs in by this device's own credential or else by the password, which the [`Frontend`] is asked for, and syncs.
    pub(crate) async fn resume(&mut self) -> Result<()> {
        if !self.reopen_by_itself().await? {
            let account = self.session.account().clone();
            let password = self.frontend.password(&account)?;
            let password = password.with_key(self.state.key.as_ref());
            let by = LoginCredential {
                slot: Slot::Password,
                secret: password.as_secret(),
            };
            self.reopen(by).await?;
        }
        self.sync_once().await?;
        Ok(self.check_credential(self.session.by())?)
    }

    /// Logs in by a credential in memory; returns whether one was accepted.
    async fn reopen_by_itself(&mut self) -> Result<bool> {
        for (slot, secret) in self.installing.clone() {
            let by = LoginCredential {
                slot,
                secret: &secret,
            };
            match self.reopen(by).await {
                Err(Error::LoginRefused) => {}
                outcome => return outcome.map(|()| true),
            }
        }
        let Some(secret) = self.device_secret.take() else {
            return Ok(false);
        };
        let by = LoginCredential {
            slot: Slot::Device(self.session.device()),
            secret: &secret,
        };
        match self.reopen(by).await {
            Err(Error::LoginRefused) => {
                let text = "this device's own credential opens no session any more: it was revoked, or another \
                            process on this device has replaced it";
                self.frontend.notice(text);
                Ok(false)
            }
            outcome => {
                // Kept after other failures as well, which do not tell whether it is valid.
                self.device_secret = Some(secret);
                outcome?;
                self.frontend.notice("the session was opened again");
                Ok(true)
            }
        }
    }

    /// Sends an operation that changes nothing; repeats it in a new session where this one has ended.
    pub(crate) async fn read<O: Operation + Clone>(&mut self, operation: O) -> Result<O::Answer> {
        match self.session.attempt(operation.clone()).await {
            // A sync would compare the shown log with pins that are older than the stored ones.
            Err(Error::SessionEnded) if !self.acknowledging => {
                self.resume().await?;
                self.session.ask(operation).await
            }
            outcome => Ok(outcome??),
        }
    }

    /// Closes the session on the server, and ends the lease of this device's own credential: copies of it open nothing
    /// any more.
    ///
    /// # Errors
    /// Those of [`Session::attempt`]; this device cannot use the session any more in any case.
    pub async fn retire(mut self) -> Result<()> {
        self.save_session()?;
        Ok(self.session.attempt(Logout { retire: true }).await??)
    }

    /// Closes the session on the server.
    ///
    /// # Errors
    /// Those of [`Session::attempt`]; this device cannot use the session any more in any case.
    pub async fn close(mut self) -> Result<()> {
        self.save_session()?;
        match self.session.attempt(Logout { retire: false }).await {
            // It expired before.
            Err(Error::SessionEnded) => Ok(()),
            outcome => Ok(outcome??),
        }
    }
}
