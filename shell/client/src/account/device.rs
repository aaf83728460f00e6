//! The data on this device: its folders, the device key, the open local store.

use std::fmt;
use std::sync::Arc;

use shared::names::AccountName;
use shared::secret::SecretBytes;

use crate::device::home::Home;
use crate::device::keyring::{Item, ItemId};
use crate::device::local::LocalStore;
use crate::device::pins::PinsFile;
use crate::error::{Error, Result, StoredSecret};
use crate::frontend::Frontend;
use crate::keys::anchor::Anchor;
use crate::keys::device_key::{DeviceKey, KeyLocation};
use crate::keys::password::Password;

/// Where a device keeps its device key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeyPlace {
    /// In a file of mode 0600.
    #[default]
    File,
    /// In the desktop's keyring.
    Keyring,
}

/// Which device key is mixed into the password.
#[derive(Debug, Clone, Default)]
pub enum KeyChoice {
    /// The one that this device keeps, if it keeps one.
    #[default]
    Stored,
    /// This one; [`Device::store_key`] keeps it there after a login has proven it right.
    Given(DeviceKey, KeyPlace),
    /// None, whatever this device keeps.
    Without,
}

/// The data on this device.
pub struct Device {
    /// Its folders.
    pub home: Home,
    pub(super) frontend: Arc<dyn Frontend>,
    pub(super) key: KeyChoice,
    pub(super) local: Option<LocalStore>,
    /// The state that the next login must find at the server; a later state is accepted as well.
    pub expected: Option<Anchor>,
}

impl Device {
    /// The data in these folders; the local store is closed.
    pub fn new(home: Home, frontend: Arc<dyn Frontend>) -> Self {
        Self {
            home,
            frontend,
            key: KeyChoice::default(),
            local: None,
            expected: None,
        }
    }

    /// The file of the pins of an account.
    pub fn pins_file(&self, account: &AccountName) -> PinsFile {
        PinsFile::new(&self.home.pins(account))
    }

    /// The code of the state that this device has verified; `None` before the first login.
    ///
    /// # Errors
    /// As [`PinsFile::load`].
    pub fn anchor(&self, account: &AccountName) -> Result<Option<Anchor>> {
        let pins = self.pins_file(account).load()?;
        Ok(pins.as_ref().map(Anchor::of))
    }

    /// The device key that is mixed into the password; `None` for an account without one, or on a device that does not
    /// have it.
    ///
    /// # Errors
    /// [`Error::Failed`] for a damaged file, and where the keyring does not give the key.
    pub fn device_key(&self, account: &AccountName) -> Result<Option<DeviceKey>> {
        match &self.key {
            KeyChoice::Stored => match DeviceKey::load(&self.home.device_key(account))? {
                None => Ok(None),
                Some(KeyLocation::File(key)) => Ok(Some(key)),
                Some(KeyLocation::Keyring(id)) => self.key_in_keyring(account, id).map(Some),
            },
            KeyChoice::Given(key, _) => Ok(Some(key.clone())),
            KeyChoice::Without => Ok(None),
        }
    }

    /// The keyring's item that holds the device key; `None` where a file holds it, or there is none.
    ///
    /// # Errors
    /// [`Error::Failed`] for a damaged file.
    pub fn key_item(&self, account: &AccountName) -> Result<Option<Item>> {
        Ok(match DeviceKey::load(&self.home.device_key(account))? {
            Some(KeyLocation::Keyring(id)) => Some(Item::device_key(id)),
            Some(KeyLocation::File(_)) | None => None,
        })
    }

    fn key_in_keyring(&self, account: &AccountName, id: ItemId) -> Result<DeviceKey> {
        let secret = StoredSecret::DeviceKey(account.to_string());
        self.read_keyring(Item::device_key(id), secret, |found| {
            DeviceKey::parse(std::str::from_utf8(found).ok()?).ok()
        })
    }

    /// Mixes another device key into passwords from now on; [`Self::store_key`] keeps it.
    pub fn choose_key(&mut self, choice: KeyChoice) {
        self.key = choice;
    }

    /// Keeps the chosen device key on this device.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn store_key(&mut self, account: &AccountName) -> Result<()> {
        let path = self.home.device_key(account);
        // An unreadable one does not keep another from being stored.
        let before = self.key_item(account).ok().flatten();
        match std::mem::take(&mut self.key) {
            KeyChoice::Stored => return Ok(()),
            KeyChoice::Given(key, KeyPlace::File) => key.save(&path)?,
            KeyChoice::Given(key, KeyPlace::Keyring) => {
                let item = Item::device_key(ItemId::random());
                self.store_in_keyring(item, &SecretBytes::from(key.text().as_bytes()))?;
                DeviceKey::note_item(&path, item.id)?;
            }
            KeyChoice::Without => self.home.forget_device_key(account)?,
        }
        if let Some(before) = before {
            self.remove_item(before);
        }
        Ok(())
    }

    /// A password together with the device key, as OPAQUE takes it.
    ///
    /// # Errors
    /// As [`Self::device_key`].
    pub fn mixed(&self, account: &AccountName, password: Password) -> Result<Password> {
        Ok(password.with_key(self.device_key(account)?.as_ref()))
    }

    /// A login that was refused, with what else may be the cause.
    pub(super) fn explain_refusal(&self, account: &AccountName, error: Error) -> Error {
        // A device that has opened the account without a device key needs none.
        let is_known = self
            .pins_file(account)
            .load()
            .is_ok_and(|pins| pins.is_some());
        match (error, self.device_key(account)) {
            (Error::LoginRefused, Ok(None)) if !is_known => Error::LoginRefusedWithoutKey,
            (Error::LoginRefused, Ok(Some(_))) => Error::LoginRefusedWithKey,
            (error, _) => error,
        }
    }

    /// Removes everything that this device keeps of an account that is no more.
    pub(super) fn forget_account(&mut self, account: &AccountName) -> Result<()> {
        self.local = None;
        for item in [self.store_item(account), self.key_item(account)] {
            if let Ok(Some(item)) = item {
                self.remove_item(item);
            }
        }
        self.home.forget_account(account)
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device")
            .field("home", &self.home)
            .finish_non_exhaustive()
    }
}
