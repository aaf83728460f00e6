//! Verification errors, remembered across runs until the owner logs in again.

use crate::account::state::Account;
use crate::device::home::Distrust;
use crate::error::{Error, Result};

impl<C> Account<C> {
    /// Remembers that an answer failed to verify, for later runs as well, and drops the vault.
    pub fn distrust(&mut self, what: &str) {
        let needs_code = matches!(self.distrusted(), Ok(Some(before)) if before.needs_code);
        self.remember_distrust(what, needs_code);
    }

    /// As [`Self::distrust`], for a server that failed while a state code was to be checked: no login without a state code
    /// trusts it again.
    pub fn distrust_until_code(&mut self, what: &str) {
        self.remember_distrust(what, true);
    }

    fn remember_distrust(&mut self, what: &str, needs_code: bool) {
        self.vault = None;
        let Ok(account) = self.name() else {
            return;
        };
        let what = what.to_owned();
        let distrust = Distrust { what, needs_code };
        // The failure itself is reported all the same.
        if let Err(error) = self.device.home.note_distrust(&account, &distrust) {
            self.device.frontend.notice(&error.to_string());
        }
    }

    /// The verification error that was not followed by a successful login, if there is one.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn distrusted(&mut self) -> Result<Option<Distrust>> {
        let account = self.name()?;
        self.device.home.distrust(&account)
    }

    pub(super) fn check_trust(&mut self) -> Result<()> {
        self.distrusted()?
            .map_or(Ok(()), |distrust| Err(distrust.into()))
    }

    /// Fails where the server failed the check of a state code, and the coming login is given none.
    pub(super) fn check_code(&mut self) -> Result<()> {
        match self.distrusted()? {
            Some(distrust) if distrust.needs_code && self.device.expected.is_none() => {
                Err(distrust.into())
            }
            _ => Ok(()),
        }
    }

    /// Lets a login without a state code trust the server again: the owner asks for exactly that.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn forget_code(&mut self) -> Result<()> {
        let Some(mut distrust) = self.distrusted()? else {
            return Ok(());
        };
        distrust.needs_code = false;
        let account = self.name()?;
        self.device.home.note_distrust(&account, &distrust)
    }

    /// Trusts the server again after an answer that failed to verify: the owner asks for exactly that.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn trust_again(&mut self) -> Result<()> {
        let account = self.name()?;
        self.device.home.forget_distrust(&account)
    }
}

impl From<Distrust> for Error {
    fn from(distrust: Distrust) -> Self {
        if distrust.needs_code {
            return Self::CodeNeeded(distrust.what);
        }
        Self::Distrusted(distrust.what)
    }
}
