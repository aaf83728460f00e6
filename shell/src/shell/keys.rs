//! The device key of an account that was made with one.

use shared::names::AccountName;

use crate::device_key::DeviceKey;
use crate::error::Error;
use crate::password::{Password, PasswordSource};
use crate::shell::Shell;

/// Which device key counts.
#[derive(Debug, Clone, Default)]
pub enum KeyChoice {
    /// The one that this device keeps, if it keeps one.
    #[default]
    Kept,
    /// This one, until it has proven right.
    Given(DeviceKey),
    /// None, whatever is kept.
    Without,
}

impl Shell {
    /// The device key that is mixed into the password; `None` for an account that has none, or on a device that does
    /// not know it.
    ///
    /// # Errors
    /// [`Error::Failed`] for a damaged file.
    pub fn device_key(&self, account: &AccountName) -> Result<Option<DeviceKey>, Error> {
        match &self.key {
            KeyChoice::Kept => DeviceKey::load(&self.home.device_key(account)),
            KeyChoice::Given(key) => Ok(Some(key.clone())),
            KeyChoice::Without => Ok(None),
        }
    }

    /// Lets another key count from now on; [`Self::keep_key`] keeps it.
    pub fn choose_key(&mut self, choice: KeyChoice) {
        self.key = choice;
    }

    /// Keeps on this device what was chosen, and makes it what counts.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn keep_key(&mut self, account: &AccountName) -> Result<(), Error> {
        match std::mem::take(&mut self.key) {
            KeyChoice::Kept => Ok(()),
            KeyChoice::Given(key) => key.save(&self.home.device_key(account)),
            KeyChoice::Without => self.home.forget_device_key(account),
        }
    }

    /// A password together with the device key.
    ///
    /// # Errors
    /// As [`Self::device_key`].
    pub fn mixed(&self, account: &AccountName, password: Password) -> Result<Password, Error> {
        Ok(match self.device_key(account)? {
            Some(key) => password.with_key(&key),
            None => password,
        })
    }

    /// Where the password comes from, together with the device key.
    pub(super) fn source(&self, account: &AccountName) -> Result<PasswordSource, Error> {
        let source = self.passwords.clone();
        Ok(match self.device_key(account)? {
            Some(key) => PasswordSource::Keyed(Box::new(source), key),
            None => source,
        })
    }

    /// What else a refused login may come from.
    pub(super) fn explained(&self, account: &AccountName, error: Error) -> Error {
        match (error, self.device_key(account)) {
            (Error::LoginRefused, Ok(None)) => Error::LoginRefusedBut(
                "wrong password, or no such account; one that was made --with-key needs `login --with-key` on a new device",
            ),
            (Error::LoginRefused, Ok(Some(_))) => Error::LoginRefusedBut(
                "wrong password, wrong device key, or no such account; one that was recovered without its key needs \
                 `login --without-key`",
            ),
            (error, _) => error,
        }
    }
}
