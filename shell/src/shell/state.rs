//! What a run remembers of itself: distrust, locks, what is on the screen.

use std::time::Duration;

use keyshell_client::vault::Vault;
use keyshell_client::vault::enrol::DEVICE_SECRET_LEN;
use shared::secret::SecretBytes;

use crate::error::Error;
use crate::shell::Shell;

/// How long locking waits for the server to close the session: the keys are still there meanwhile.
const LOCKING: Duration = Duration::from_secs(2);

impl Shell {
    /// Remembers that something did not prove out, for later runs as well, and drops whatever might be touched by it.
    pub fn distrust(&mut self, error: &Error) {
        self.vault = None;
        let Ok(account) = self.account() else {
            return;
        };
        // What cannot be kept is still said.
        if let Err(error) = self.home.note_distrust(&account, &error.to_string()) {
            self.out.say(&error.to_string());
        }
    }

    /// What did not prove out, until the owner logs in again.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn distrusted(&mut self) -> Result<Option<String>, Error> {
        let account = self.account()?;
        Ok(self.home.distrust(&account)?)
    }

    pub(super) fn check_trust(&mut self) -> Result<(), Error> {
        self.distrusted()?
            .map_or(Ok(()), |text| Err(Error::Distrusted(text)))
    }

    /// Goes on with a server of which something did not prove out: the owner asks for just that.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn trust_again(&mut self) -> Result<(), Error> {
        let account = self.account()?;
        Ok(self.home.forget_distrust(&account)?)
    }

    /// Whether keys are in memory.
    pub fn is_unlocked(&self) -> bool {
        self.vault.is_some() || self.local.is_some() || self.own.is_some()
    }

    /// Wipes all keys, and closes the session if the server answers soon; says whether there were any.
    ///
    /// # Errors
    /// [`Error::Verification`]; the keys are gone in any case.
    pub async fn lock(&mut self) -> Result<bool, Error> {
        if !self.is_unlocked() {
            return Ok(false);
        }
        self.local = None;
        self.own = None;
        if let Some(known) = &mut self.abbreviations {
            known.forget();
        }
        self.locked = Some(self.shown.take());
        let Some(vault) = self.vault.take() else {
            return Ok(true);
        };
        match tokio::time::timeout(LOCKING, vault.close()).await {
            Ok(Err(error)) if error.verification().is_some() => {
                let error = error.into();
                self.distrust(&error);
                Err(error)
            }
            // Else it ends by itself.
            _ => Ok(true),
        }
    }

    /// The same for an agent: the credential that it gave to callers opens nothing any more either, if the server answers
    /// soon.
    ///
    /// # Errors
    /// As [`Self::lock`].
    pub async fn retire(&mut self) -> Result<bool, Error> {
        if !self.is_unlocked() {
            return Ok(false);
        }
        match tokio::time::timeout(LOCKING, self.retire_credential()).await {
            Ok(Err(error @ Error::Verification(_))) => self.distrust(&error),
            Ok(_) => {}
            // Who does not answer hears no farewell.
            Err(_) => self.vault = None,
        }
        self.lock().await
    }

    /// Another program of this device's may have replaced it before: then it is that one's.
    async fn retire_credential(&mut self) -> Result<(), Error> {
        let vault = self.vault().await?;
        let by = vault.session().by();
        if vault.slots().await?.slots.contains(&by) {
            let nobodys = SecretBytes::random(DEVICE_SECRET_LEN);
            vault.renew_device(&nobodys).await?;
        }
        Ok(())
    }

    /// Whether [`Self::lock`] did something since this was last asked, and then whether a value was to be seen.
    pub fn take_lock(&mut self) -> Option<bool> {
        self.locked.take()
    }

    /// Notes that a value is on the screen.
    pub fn note_shown(&self) {
        self.shown.set(true);
    }

    /// Notes whether the server was reached.
    pub fn note_reached<T>(&mut self, done: &Result<T, Error>) {
        match done {
            Err(Error::Unreachable(_)) => self.offline = true,
            _ if self.vault.is_some() => self.offline = false,
            _ => {}
        }
    }

    /// Whether the server was out of reach when it was last needed.
    pub fn is_offline(&self) -> bool {
        self.offline
    }

    /// After a command was dropped: whether a request was under way. Then nobody knows what became of it, nor what it
    /// left of the vault, and the next command opens it anew.
    pub fn interrupted(&mut self) -> bool {
        let under_way = |vault: &Vault| vault.session().is_waiting();
        let dropped = self.vault.take_if(|vault| under_way(vault));
        dropped.is_some()
    }
}
