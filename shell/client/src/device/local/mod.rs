//! The local store: secrets on this device alone, in one encrypted file that opens offline with the password.

mod file;

use std::fs::File;
use std::path::{Path, PathBuf};

use file::Wrapping;
pub use file::item_of;
use serde::{Deserialize, Serialize};
use shared::ids::{AccountId, DeviceId, SecretId, Version};
use shared::secret::{Key, SecretBytes};

use crate::device::home;
use crate::device::keyring::ItemId;
use crate::error::Error;

/// An operation of the local store failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocalError {
    /// The file is undamaged and does not open with the password.
    #[error("wrong password: the local store does not open with it")]
    WrongPassword,
    /// The file needs a secret of the keyring as well, which was not given or is another one.
    #[error("the local store needs a secret of the keyring that was not given: try again")]
    NoKeyring,
    /// The checksum or the format of the file is wrong.
    #[error(
        "the local store {0} is damaged: restore the file from a backup, or remove it to begin anew"
    )]
    Damaged(PathBuf),
    /// The file is undamaged, and sealed under another key than the given one.
    #[error(
        "the local store {0} was written under an account key that the server does not have any more, and opens with the \
         password of that time: log in at a terminal to give that password"
    )]
    OtherKey(PathBuf),
    /// The Argon2id parameters in the file are out of bounds.
    #[error(
        "the local store {0} asks for key stretching out of bounds: it is not one that keyshell wrote"
    )]
    OutOfBounds(PathBuf),
    /// The file exists already.
    #[error("the local store {0} exists already")]
    Exists(PathBuf),
    /// The file would exceed this many MiB.
    #[error("the local store is full: all values together take {0} MiB at most")]
    Full(u64),
    /// Reading or writing failed.
    #[error("{0}")]
    Io(String),
}

impl From<LocalError> for Error {
    fn from(error: LocalError) -> Self {
        match error {
            LocalError::WrongPassword | LocalError::OtherKey(_) => {
                Self::WrongPassword(error.to_string())
            }
            LocalError::Full(_) => Self::Limit(error.to_string()),
            other => Self::Failed(other.to_string()),
        }
    }
}

/// The origin of a local secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Made on this device, and stored nowhere else.
    Local,
    /// A verified copy of a version on the server.
    Saved(SecretId, Version),
}

/// One secret in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalSecret {
    /// Its name.
    pub name: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// Its note.
    pub note: String,
    /// Its media type.
    pub content_type: Option<String>,
    /// Its origin.
    pub origin: Origin,
    /// Counts the values of a local secret; the version on the server for a saved copy.
    pub version: Version,
    /// When it was stored here, in milliseconds since 1970-01-01 UTC.
    pub changed_ms: u64,
    /// Its value.
    #[serde(with = "file::secret_bytes")]
    pub value: SecretBytes,
}

/// Account and device of a store, bound into each key derivation and ciphertext.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The account.
    pub account: AccountId,
    /// The device.
    pub device: DeviceId,
}

/// The secrets that open a store without a session.
#[derive(Debug, Clone, Copy)]
pub struct Opener<'a> {
    /// The password.
    pub password: &'a SecretBytes,
    /// The secret in the desktop's keyring, for a store that needs one.
    pub keyring: Option<&'a Key>,
}

/// The password alone.
impl<'a> From<&'a SecretBytes> for Opener<'a> {
    fn from(password: &'a SecretBytes) -> Self {
        Self {
            password,
            keyring: None,
        }
    }
}

/// An open local store.
#[derive(Debug)]
pub struct LocalStore {
    path: PathBuf,
    owner: Owner,
    wrapping: Wrapping,
    key: Key,
    secrets: Vec<LocalSecret>,
}

impl LocalStore {
    /// Creates an empty store. Its content is sealed under `key`, which `opener` wraps.
    ///
    /// # Errors
    /// [`LocalError::Exists`], [`LocalError::Io`].
    pub fn create<'a>(
        path: &Path,
        owner: Owner,
        opener: impl Into<Opener<'a>>,
        key: &Key,
    ) -> Result<Self, LocalError> {
        let wrapping = Wrapping::new(owner, opener.into(), key)?;
        let content = file::seal_content(owner, &wrapping, key, &[])?;
        file::write_new(path, &wrapping, &content)?;
        Ok(Self {
            path: path.to_owned(),
            owner,
            wrapping,
            key: key.clone(),
            secrets: Vec::new(),
        })
    }

    /// Opens a store by its password and, where it needs one, the keyring's secret.
    ///
    /// # Errors
    /// [`LocalError::WrongPassword`], [`LocalError::NoKeyring`], [`LocalError::Damaged`], [`LocalError::OutOfBounds`],
    /// [`LocalError::Io`].
    pub fn open_with_password<'a>(
        path: &Path,
        owner: Owner,
        opener: impl Into<Opener<'a>>,
    ) -> Result<Self, LocalError> {
        let (wrapping, content) = file::read(path)?;
        let key = wrapping.unwrap(path, owner, opener.into())?;
        match Self::open(path, owner, wrapping, &content, &key) {
            // The key that the file itself wraps is the right one.
            Err(LocalError::OtherKey(path)) => Err(LocalError::Damaged(path)),
            result => result,
        }
    }

    /// Opens a store by its key, which a session derives from the account key.
    ///
    /// # Errors
    /// [`LocalError::OtherKey`], [`LocalError::Damaged`], [`LocalError::Io`].
    pub fn open_with_key(path: &Path, owner: Owner, key: &Key) -> Result<Self, LocalError> {
        let (wrapping, content) = file::read(path)?;
        Self::open(path, owner, wrapping, &content, key)
    }

    fn open(
        path: &Path,
        owner: Owner,
        wrapping: Wrapping,
        content: &[u8],
        key: &Key,
    ) -> Result<Self, LocalError> {
        let secrets = file::open_content(path, owner, &wrapping, key, content)?;
        Ok(Self {
            path: path.to_owned(),
            owner,
            wrapping,
            key: key.clone(),
            secrets,
        })
    }

    /// The keyring's item that the store in this file needs besides the password, if any; read without authentication.
    ///
    /// # Errors
    /// [`LocalError::Io`], [`LocalError::Damaged`].
    pub fn keyring_item_of(path: &Path) -> Result<Option<ItemId>, LocalError> {
        file::read_item(path)
    }

    /// The keyring's item that the store needs besides the password, if any.
    pub fn keyring_item(&self) -> Option<ItemId> {
        self.wrapping.item()
    }

    /// Account and device of the store.
    pub fn owner(&self) -> Owner {
        self.owner
    }

    /// Whether the store is sealed under this key.
    pub fn is_under(&self, key: &Key) -> bool {
        self.key == *key
    }

    /// All secrets, by name.
    pub fn secrets(&self) -> &[LocalSecret] {
        &self.secrets
    }

    /// The secret of this name.
    pub fn get(&self, name: &str) -> Option<&LocalSecret> {
        self.secrets.iter().find(|secret| secret.name == name)
    }

    /// Reads changes that other processes on this device have made.
    ///
    /// # Errors
    /// [`LocalError`].
    pub fn refresh(&mut self) -> Result<(), LocalError> {
        let (wrapping, content) = file::read(&self.path)?;
        self.secrets = file::open_content(&self.path, self.owner, &wrapping, &self.key, &content)?;
        self.wrapping = wrapping;
        Ok(())
    }

    /// Adds a secret, or replaces the one of its name; durable when this returns.
    ///
    /// # Errors
    /// As [`Self::refresh`], [`LocalError::Full`]; the file is unchanged then.
    pub fn put(&mut self, secret: LocalSecret) -> Result<(), LocalError> {
        let name = secret.name.clone();
        self.put_with(&name, |_| Ok(secret))
    }

    /// Adds or replaces the secret of this name by the one that `make` returns for the existing one. The store is
    /// locked against other processes meanwhile; the change is durable when this returns.
    ///
    /// # Errors
    /// Those of `make`; else as [`Self::put`].
    pub fn put_with<E: From<LocalError>>(
        &mut self,
        name: &str,
        make: impl FnOnce(Option<&LocalSecret>) -> Result<LocalSecret, E>,
    ) -> Result<(), E> {
        self.change(|secrets| {
            let at = secrets.iter().position(|secret| secret.name == name);
            let secret = make(at.and_then(|at| secrets.get(at)))?;
            secrets.retain(|known| known.name != name);
            secrets.push(secret);
            Ok(())
        })
    }

    /// Changes any of the secrets. The store is locked against other processes meanwhile; the change is durable when
    /// this returns.
    ///
    /// # Errors
    /// Those of `change`; else as [`Self::put`].
    pub fn change<T, E: From<LocalError>>(
        &mut self,
        change: impl FnOnce(&mut Vec<LocalSecret>) -> Result<T, E>,
    ) -> Result<T, E> {
        let _lock = self.hold()?;
        let mut secrets = self.secrets.clone();
        let done = change(&mut secrets)?;
        secrets.sort_by(|a, b| a.name.cmp(&b.name));
        if secrets != self.secrets {
            self.save(secrets)?;
        }
        Ok(done)
    }

    /// Wraps the store's key by another password, or with another secret in the keyring, or none; the former ones open
    /// it no longer. Returns the keyring's item that the store needed before.
    ///
    /// # Errors
    /// [`LocalError`]; the file is unchanged then.
    pub fn set_opener<'a>(
        &mut self,
        opener: impl Into<Opener<'a>>,
    ) -> Result<Option<ItemId>, LocalError> {
        let _lock = self.hold()?;
        let (before, key) = (self.keyring_item(), self.key.clone());
        self.rewrap(opener.into(), &key)?;
        Ok(before)
    }

    /// Seals the store under another key, after the account key that the old one derives from was replaced.
    ///
    /// # Errors
    /// [`LocalError`]; the file is unchanged then.
    pub fn set_key<'a>(
        &mut self,
        opener: impl Into<Opener<'a>>,
        key: &Key,
    ) -> Result<(), LocalError> {
        let _lock = self.hold()?;
        self.rewrap(opener.into(), key)
    }

    fn rewrap(&mut self, opener: Opener<'_>, key: &Key) -> Result<(), LocalError> {
        let wrapping = Wrapping::new(self.owner, opener, key)?;
        let content = file::seal_content(self.owner, &wrapping, key, &self.secrets)?;
        file::write(&self.path, &wrapping, &content)?;
        self.wrapping = wrapping;
        self.key = key.clone();
        Ok(())
    }

    /// Removes a secret; returns whether it existed.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub fn remove(&mut self, name: &str) -> Result<bool, LocalError> {
        self.change(|secrets| {
            let before = secrets.len();
            secrets.retain(|secret| secret.name != name);
            Ok(secrets.len() < before)
        })
    }

    /// Locks the store against other processes on this device, and reads their changes.
    fn hold(&mut self) -> Result<File, LocalError> {
        let mut path = self.path.clone().into_os_string();
        path.push(".lock");
        let lock = home::lock(Path::new(&path)).map_err(|e| LocalError::Io(e.to_string()))?;
        self.refresh()?;
        Ok(lock)
    }

    fn save(&mut self, secrets: Vec<LocalSecret>) -> Result<(), LocalError> {
        let content = file::seal_content(self.owner, &self.wrapping, &self.key, &secrets)?;
        file::write(&self.path, &self.wrapping, &content)?;
        self.secrets = secrets;
        Ok(())
    }
}
