//! The desktop's keyring: what it holds of the local store, where the owner wants that.

use keyshell_client::device::keyring::{self, Item, ItemId, KeyringError, Kind, Unlocking};
use keyshell_client::device::local::{self, LocalStore, Opener, Owner};
use keyshell_client::keys::password::Password;
use shared::names::AccountName;
use shared::secret::{Key, SecretBytes};

use crate::error::Error;
use crate::prompt::Prompt;
use crate::shell::Shell;

const QUESTION: &str = "This desktop has a keyring. With a secret in it, nobody can guess the password by a stolen copy of the \
                        local store;\nwithout the keyring the store then opens only while the server is reached. \
                        (`keyring off` undoes it.)\nKeep one there?";

impl Shell {
    /// Whether the local store is to want the keyring; `None` if nobody was asked yet.
    pub fn wants_keyring(&self) -> Option<bool> {
        self.profile.keyring
    }

    fn set_wants_keyring(&mut self, answer: bool) -> Result<(), Error> {
        self.profile.keyring = Some(answer);
        Ok(self.home.save_profile(&self.profile)?)
    }

    /// Uses the keyring; where it is locked, a person at the terminal may unlock it.
    pub(super) fn with_keyring<T>(
        &self,
        work: impl Fn(Unlocking) -> Result<T, KeyringError>,
    ) -> Result<T, KeyringError> {
        match work(Unlocking::Never) {
            Err(KeyringError::Locked) if self.prompt == Prompt::Person => {
                self.out
                    .note("the keyring is locked: unlock it where the desktop asks for that");
                work(Unlocking::Ask)
            }
            done => done,
        }
    }

    /// The secret that a local store wants besides the password, if it wants one.
    pub(super) fn local_secret(
        &self,
        owner: Owner,
        item: Option<ItemId>,
    ) -> Result<Option<Key>, Error> {
        let Some(id) = item else {
            return Ok(None);
        };
        let failed = |why: &str, next: &str| {
            Error::Failed(format!(
                "the local store wants its secret in the keyring of this desktop, and {why}; while the server is \
                 reached, {next}"
            ))
        };
        let found = self.with_keyring(|unlocking| keyring::read(of_store(id), unlocking));
        let found = found
            .map_err(|error| failed(&error.to_string(), "a session (`login`) opens it without"))?;
        let anew = "`keyring on` makes a new one";
        let found = found.ok_or_else(|| failed("it is not there any more", anew))?;
        let secret = Key::from_slice(found.expose());
        let secret = secret.filter(|secret| local::item_of(owner, secret) == id);
        secret
            .map(Some)
            .ok_or_else(|| failed("something else is in its place", anew))
    }

    /// Has the local store want the keyring where the owner said so; asks once.
    pub(super) fn add_wanted_keyring(&mut self, store: &mut LocalStore, password: &Password) {
        if store.keyring_item().is_some() || !self.is_keyring_wanted() {
            return;
        }
        if let Err(error) = self.add_keyring(store, password) {
            self.out.detail(&format!(
                "the local store opens by the password alone: {error}"
            ));
        }
    }

    fn is_keyring_wanted(&mut self) -> bool {
        if let Some(answer) = self.profile.keyring {
            return answer;
        }
        if self.prompt == Prompt::Nobody || keyring::look().is_err() {
            return false;
        }
        // Whoever does not answer has the rest of the command all the same, and is asked another time.
        let Ok(answer) = self
            .prompt
            .confirm(QUESTION, "give `keyring on` or `keyring off`")
        else {
            return false;
        };
        if let Err(error) = self.set_wants_keyring(answer) {
            self.out.say(&error.to_string());
        }
        answer
    }

    /// Puts a new secret into the keyring, and has the local store want that.
    fn add_keyring(&self, store: &mut LocalStore, password: &Password) -> Result<(), Error> {
        let secret = Key::random();
        let item = of_store(local::item_of(store.owner(), &secret));
        self.keep_in_keyring(item, &SecretBytes::from(&secret.expose()[..]))?;
        let opener = Opener {
            password: password.as_secret(),
            keyring: Some(&secret),
        };
        // Where this fails the item stays: nobody knows whether the file that wants it is on the disk already.
        if let Some(before) = store.set_opener(opener)? {
            self.drop_item(of_store(before));
        }
        Ok(())
    }

    /// Makes an item, which is there when this returns.
    pub(super) fn keep_in_keyring(&self, item: Item, secret: &SecretBytes) -> Result<(), Error> {
        let kept = self.with_keyring(|unlocking| {
            keyring::write(item, secret, unlocking)?;
            keyring::read(item, unlocking)
        });
        let kept = kept.map_err(|error| Error::Failed(error.to_string()))?;
        if kept.as_ref() == Some(secret) {
            return Ok(());
        }
        let text = "the keyring did not keep what was put into it; nothing was changed";
        Err(Error::Failed(text.into()))
    }

    /// Removes an item that nothing wants any more.
    pub(super) fn drop_item(&self, item: Item) {
        if let Err(error) = self.with_keyring(|unlocking| keyring::remove(item, unlocking)) {
            self.out.say(&format!(
                "an item that nothing needs any more stays in the keyring: {error}"
            ));
        }
    }

    /// Removes what the keyring holds of an account that is no more.
    pub(super) fn forget_items(&self, account: &AccountName) {
        for item in [self.store_item(account), self.key_item(account)] {
            if let Ok(Some(item)) = item {
                self.drop_item(item);
            }
        }
    }

    /// Has the local store want a secret in the keyring, or do without; asks for the password. One that is there and
    /// right stays.
    ///
    /// # Errors
    /// As [`Self::log_in`], [`Error::Failed`] where the keyring cannot be used.
    pub async fn turn_keyring(&mut self, on: bool) -> Result<(), Error> {
        if on {
            keyring::look().map_err(|error| Error::Failed(error.to_string()))?;
        }
        self.log_out().await?;
        self.set_wants_keyring(on)?;
        let password = self.log_in(false).await?;
        self.local_store()?;
        let Some(mut store) = self.local.take() else {
            return Ok(());
        };
        let item = store.keyring_item();
        if !on {
            store.set_opener(password.as_secret())?;
            if let Some(id) = item {
                self.drop_item(of_store(id));
            }
        } else if !matches!(self.local_secret(store.owner(), item), Ok(Some(_))) {
            self.add_keyring(&mut store, &password)?;
        }
        self.local = Some(store);
        Ok(())
    }

    /// The item that the local store wants, as its file says; `None` where it wants none, or there is no store.
    ///
    /// # Errors
    /// [`Error::Failed`] for a file that cannot be read.
    pub fn store_item(&self, account: &AccountName) -> Result<Option<Item>, Error> {
        let path = self.home.local_store(account);
        if !path.exists() {
            return Ok(None);
        }
        Ok(LocalStore::keyring_item_of(&path)?.map(of_store))
    }
}

fn of_store(id: ItemId) -> Item {
    Item {
        kind: Kind::LocalStore,
        id,
    }
}

/// The item that holds a device key.
pub(super) fn of_key(id: ItemId) -> Item {
    Item {
        kind: Kind::DeviceKey,
        id,
    }
}
