//! The device key of an account that was made with one.

use std::sync::Arc;

use clap::ValueEnum;
use keyshell_client::device::keyring::{self, Item, ItemId};
use keyshell_client::frontend::Frontend;
use keyshell_client::keys::device_key::{DeviceKey, KeyLocation};
use keyshell_client::keys::password::Password;
use shared::names::AccountName;
use shared::secret::SecretBytes;

use super::keyring::of_key;
use crate::error::Error;
use crate::frontend::Terminal;
use crate::password_source::PasswordSource;
use crate::shell::Shell;

/// Where a device keeps its key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum KeyPlace {
    /// In a file of mode 0600.
    #[default]
    File,
    /// In the desktop's keyring.
    Keyring,
}

/// Which device key counts.
#[derive(Debug, Clone, Default)]
pub enum KeyChoice {
    /// The one that this device keeps, if it keeps one.
    #[default]
    Kept,
    /// This one, until it has proven right; then it is kept there.
    Given(DeviceKey, KeyPlace),
    /// None, whatever is kept.
    Without,
}

impl Shell {
    /// The device key that is mixed into the password; `None` for an account that has none, or on a device that does
    /// not know it.
    ///
    /// # Errors
    /// [`Error::Failed`] for a damaged file, and where the keyring does not give the key.
    pub fn device_key(&self, account: &AccountName) -> Result<Option<DeviceKey>, Error> {
        match &self.key {
            KeyChoice::Kept => match DeviceKey::load(&self.home.device_key(account))? {
                None => Ok(None),
                Some(KeyLocation::File(key)) => Ok(Some(key)),
                Some(KeyLocation::Keyring(id)) => self.key_in_keyring(account, id).map(Some),
            },
            KeyChoice::Given(key, _) => Ok(Some(key.clone())),
            KeyChoice::Without => Ok(None),
        }
    }

    /// The item that holds the device key; `None` where a file does, or there is none.
    ///
    /// # Errors
    /// [`Error::Failed`] for a damaged file.
    pub fn key_item(&self, account: &AccountName) -> Result<Option<Item>, Error> {
        Ok(match DeviceKey::load(&self.home.device_key(account))? {
            Some(KeyLocation::Keyring(id)) => Some(of_key(id)),
            Some(KeyLocation::File(_)) | None => None,
        })
    }

    fn key_in_keyring(&self, account: &AccountName, id: ItemId) -> Result<DeviceKey, Error> {
        let failed = |why: &str, next: &str| {
            Error::Failed(format!(
                "the device key of `{account}` is in the keyring of this desktop, and {why}; {next}"
            ))
        };
        let again = "`login --with-key` asks for the key again";
        let found = self.with_keyring(|unlocking| keyring::read(of_key(id), unlocking));
        let found = found.map_err(|error| {
            let next = format!("unlock it, or {again}");
            failed(&error.to_string(), &next)
        })?;
        let found = found.ok_or_else(|| failed("not there any more", again))?;
        let text = std::str::from_utf8(found.expose()).unwrap_or_default();
        DeviceKey::parse(text).map_err(|_| failed("something else in its place", again))
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
        let path = self.home.device_key(account);
        // One that cannot be read is no reason not to keep another.
        let before = self.key_item(account).ok().flatten();
        match std::mem::take(&mut self.key) {
            KeyChoice::Kept => return Ok(()),
            KeyChoice::Given(key, KeyPlace::File) => key.save(&path)?,
            KeyChoice::Given(key, KeyPlace::Keyring) => {
                let item = of_key(ItemId::random());
                self.keep_in_keyring(item, &SecretBytes::from(key.text().as_bytes()))?;
                DeviceKey::note_item(&path, item.id)?;
            }
            KeyChoice::Without => self.home.forget_device_key(account)?,
        }
        if let Some(before) = before {
            self.drop_item(before);
        }
        Ok(())
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

    /// What the client library asks and reports, for sessions of this account.
    pub(super) fn frontend(&self, account: &AccountName) -> Result<Arc<dyn Frontend>, Error> {
        Ok(Arc::new(Terminal {
            passwords: self.source(account)?,
            out: self.out,
        }))
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
