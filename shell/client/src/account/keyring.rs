//! The items that this device keeps in the desktop's keyring, where the owner enabled it.

use shared::names::AccountName;
use shared::secret::{Key, SecretBytes};

use crate::account::device::Device;
use crate::device::keyring::{self, Item, ItemId, KeyringError, Unlocking};
use crate::device::local::{self, LocalStore, Opener, Owner};
use crate::error::{Error, KeyringProblem, NotInKeyring, Result, StoredSecret};
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
    pub(super) fn local_secret(&self, owner: Owner, item: Option<ItemId>) -> Result<Option<Key>> {
        let Some(id) = item else {
            return Ok(None);
        };
        let secret = self.read_keyring(Item::local_store(id), StoredSecret::LocalStore, |found| {
            Key::from_slice(found).filter(|secret| local::item_of(owner, secret) == id)
        });
        secret.map(Some)
    }

    /// Reads an item; `parse` returns `None` for content that is not the secret.
    pub(super) fn read_keyring<T>(
        &self,
        item: Item,
        secret: StoredSecret,
        parse: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<T> {
        let found = self.with_keyring(|unlocking| keyring::read(item, unlocking));
        let problem = match found.map(|found| found.map(|found| parse(found.expose()))) {
            Ok(Some(Some(found))) => return Ok(found),
            Ok(Some(None)) => KeyringProblem::Replaced,
            Ok(None) => KeyringProblem::Gone,
            Err(error) => KeyringProblem::Unusable(error.to_string()),
        };
        Err(NotInKeyring { secret, problem }.into())
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
    pub(super) fn add_keyring(&self, store: &mut LocalStore, password: &Password) -> Result<()> {
        let secret = Key::random();
        let item = Item::local_store(local::item_of(store.owner(), &secret));
        self.store_in_keyring(item, &SecretBytes::from(&secret.expose()[..]))?;
        let opener = Opener {
            password: password.as_secret(),
            keyring: Some(&secret),
        };
        // After a failure the item stays: the file that needs it may be on the disk already.
        if let Some(before) = store.set_opener(opener)? {
            self.remove_item(Item::local_store(before));
        }
        Ok(())
    }

    /// Makes an item, which can be read again when this returns.
    pub(super) fn store_in_keyring(&self, item: Item, secret: &SecretBytes) -> Result<()> {
        let stored = self.with_keyring(|unlocking| {
            keyring::write(item, secret, unlocking)?;
            keyring::read(item, unlocking)
        });
        let stored = stored.map_err(Error::failed)?;
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
    ) -> Result<()> {
        let item = store.keyring_item();
        if !on {
            store.set_opener(password.as_secret())?;
            if let Some(id) = item {
                self.remove_item(Item::local_store(id));
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
    pub fn store_item(&self, account: &AccountName) -> Result<Option<Item>> {
        let path = self.home.local_store(account);
        if !path.exists() {
            return Ok(None);
        }
        Ok(LocalStore::keyring_item_of(&path)?.map(Item::local_store))
    }
}
