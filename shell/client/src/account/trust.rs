//! Verification errors, remembered across runs until the owner logs in again.

use crate::account::state::Account;
use crate::error::{Error, Result};

impl<C> Account<C> {
    /// Remembers that an answer failed to verify, for later runs as well, and drops the vault.
    pub fn distrust(&mut self, what: &str) {
        self.vault = None;
        let Ok(account) = self.name() else {
            return;
        };
        // The failure itself is reported all the same.
        if let Err(error) = self.device.home.note_distrust(&account, what) {
            self.device.frontend.notice(&error.to_string());
        }
    }

    /// The text of the verification error, until the owner logs in again.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn distrusted(&mut self) -> Result<Option<String>> {
        let account = self.name()?;
        self.device.home.distrust(&account)
    }

    pub(super) fn check_trust(&mut self) -> Result<()> {
        self.distrusted()?
            .map_or(Ok(()), |text| Err(Error::Distrusted(text)))
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
