//! Another account key.

use keyshell_client::keys::password::Password;
use keyshell_client::vault::rekey::Rotation;
use shared::names::AccountName;
use shared::secret::SecretBytes;

use crate::error::Error;
use crate::shell::Shell;

impl Shell {
    /// Logs in with the password, whatever session there is; returns the password.
    ///
    /// # Errors
    /// As [`Self::log_in`].
    pub async fn log_in_anew(&mut self, account: &AccountName) -> Result<Password, Error> {
        self.check_trust()?;
        self.log_out().await?;
        let connected = self.connect().await?;
        let password = self.source(account)?.get(account.as_str())?;
        let opened = self.log_in_with(connected, account, &password, false);
        opened
            .await
            .map_err(|error| self.explained(account, error))?;
        Ok(password)
    }

    /// Tells the vault log again under a new account key, or goes on with that; nothing changes yet.
    ///
    /// # Errors
    /// As [`Vault::begin_rotation`](keyshell_client::vault::Vault::begin_rotation).
    pub async fn begin_rotation(&mut self, password: &Password) -> Result<Rotation, Error> {
        let mut vault = self.vault.take().ok_or(Error::SessionEnded)?;
        let rotation = vault.begin_rotation(password.as_secret()).await?;
        self.vault = Some(vault);
        Ok(rotation)
    }

    /// Puts the new account key in place; the local store follows.
    ///
    /// # Errors
    /// As [`Vault::finish_rotation`](keyshell_client::vault::Vault::finish_rotation).
    pub async fn finish_rotation(
        &mut self,
        rotation: Rotation,
        password: &Password,
        recovery: Option<&SecretBytes>,
    ) -> Result<(), Error> {
        let account = self.account()?;
        let mut vault = self.vault.take().ok_or(Error::SessionEnded)?;
        let finished = vault.finish_rotation(rotation, password.as_secret(), recovery);
        finished.await?;
        self.own = vault.device_secret().cloned();
        self.local = None;
        self.keep_local_store(&account, &mut vault, password)?;
        self.vault = Some(vault);
        Ok(())
    }
}
