//! What the desktop's keyring holds of this device's data, where the owner wants that.

use shared::names::AccountName;
use shared::secret::{Key, SecretBytes};

use crate::account::device::Device;
use crate::device::keyring::{self, Item, ItemId, KeyringError, Kind, Unlocking};
use crate::device::local::{self, LocalStore, Opener, Owner};
use crate::error::{Error, KeyringProblem, NotInKeyring, StoredSecret};
use crate::keys::password::Password;

impl Device {
    /// Uses the keyring; where it is locked and a person is there, the person may unlock it.
    pub(super) fn with_keyring<T>(
        &self,
        work: impl Fn(Unlocking) -> Result<T, KeyringError>,
    ) -> Result<T, KeyringError> {
        match work(Unlocking::Never) {
            Err(KeyringError::Locked) if self.frontend.is_person() => {
                self.frontend
                    .note("the keyring is locked: unlock it where the desktop asks for that");
                work(Unlocking::Ask)
            }
            done => done,
        }
    }

    /// The secret that a local store needs besides the password, if it needs one.
    pub(super) fn local_secret(
        &self,
        owner: Owner,
        item: Option<ItemId>,
    ) -> Result<Option<Key>, Error> {
        let Some(id) = item else {
            return Ok(None);
        };
        let failed = |problem| NotInKeyring {
            secret: StoredSecret::LocalStore,
            problem,
        };
        let found = self.with_keyring(|unlocking| keyring::read(item_of_store(id), unlocking));
        let found = found.map_err(|error| failed(KeyringProblem::Unusable(error.to_string())))?;
        let found = found.ok_or_else(|| failed(KeyringProblem::Gone))?;
        let secret = Key::from_slice(found.expose());
        let secret = secret.filter(|secret| local::item_of(owner, secret) == id);
        let secret = secret.ok_or_else(|| failed(KeyringProblem::Replaced))?;
        Ok(Some(secret))
    }

    /// Binds the local store to the keyring where the owner wants that; asks once.
    pub(super) fn add_wanted_keyring(&self, store: &mut LocalStore, password: &Password) {
        if store.keyring_item().is_some() || !self.frontend.wants_keyring() {
            return;
        }
        if let Err(error) = self.add_keyring(store, password) {
            self.frontend.detail(&format!(
                "the local store opens by the password alone: {error}"
            ));
        }
    }

    /// Puts a new secret into the keyring, and wraps the local store's key under it as well.
    pub(super) fn add_keyring(
        &self,
        store: &mut LocalStore,
        password: &Password,
    ) -> Result<(), Error> {
        let secret = Key::random();
        let item = item_of_store(local::item_of(store.owner(), &secret));
        self.store_in_keyring(item, &SecretBytes::from(&secret.expose()[..]))?;
        let opener = Opener {
            password: password.as_secret(),
            keyring: Some(&secret),
        };
        // After a failure the item stays: the file that needs it may be on the disk already.
        if let Some(before) = store.set_opener(opener)? {
            self.remove_item(item_of_store(before));
        }
        Ok(())
    }

    /// Makes an item, which can be read again when this returns.
    pub(super) fn store_in_keyring(&self, item: Item, secret: &SecretBytes) -> Result<(), Error> {
        let stored = self.with_keyring(|unlocking| {
            keyring::write(item, secret, unlocking)?;
            keyring::read(item, unlocking)
        });
        let stored = stored.map_err(|error| Error::Failed(error.to_string()))?;
        if stored.as_ref() == Some(secret) {
            return Ok(());
        }
        let text = "the keyring did not keep what was put into it; nothing was changed";
        Err(Error::Failed(text.into()))
    }

    /// Removes an item that is not needed any more.
    pub(super) fn remove_item(&self, item: Item) {
        if let Err(error) = self.with_keyring(|unlocking| keyring::remove(item, unlocking)) {
            self.frontend.notice(&format!(
                "an item that nothing needs any more stays in the keyring: {error}"
            ));
        }
    }

    /// Binds the local store to the keyring, or unbinds it. A secret that is there and right stays.
    pub(super) fn set_keyring(
        &self,
        store: &mut LocalStore,
        password: &Password,
        on: bool,
    ) -> Result<(), Error> {
        let item = store.keyring_item();
        if !on {
            store.set_opener(password.as_secret())?;
            if let Some(id) = item {
                self.remove_item(item_of_store(id));
            }
        } else if !matches!(self.local_secret(store.owner(), item), Ok(Some(_))) {
            self.add_keyring(store, password)?;
        }
        Ok(())
    }

    /// The keyring's item that the local store needs, as its file says; `None` where it needs none, or there is no
    /// store.
    ///
    /// # Errors
    /// [`Error::Failed`] for a file that cannot be read.
    pub fn store_item(&self, account: &AccountName) -> Result<Option<Item>, Error> {
        let path = self.home.local_store(account);
        if !path.exists() {
            return Ok(None);
        }
        Ok(LocalStore::keyring_item_of(&path)?.map(item_of_store))
    }
}

fn item_of_store(id: ItemId) -> Item {
    Item {
        kind: Kind::LocalStore,
        id,
    }
}

/// The item that holds a device key.
pub(super) fn item_of_key(id: ItemId) -> Item {
    Item {
        kind: Kind::DeviceKey,
        id,
    }
}
