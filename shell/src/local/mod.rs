//! The local store: secrets on this device alone, in one encrypted file that opens with the password, offline.

mod file;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shared::ids::{AccountId, DeviceId, SecretId, Version};
use shared::secret::{Key, SecretBytes};

use crate::error::Error;
use file::Wrapping;

/// The store cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocalError {
    /// The file is whole, the password is not its own.
    #[error("wrong password: the local store does not open with it")]
    WrongPassword,
    /// The file is not what was written.
    #[error(
        "the local store {0} is damaged: restore the file from a backup, or remove it to begin anew"
    )]
    Damaged(PathBuf),
    /// The file asks for too little key stretching, or for too much.
    #[error(
        "the local store {0} asks for key stretching out of bounds: it is not one that keyshell wrote"
    )]
    OutOfBounds(PathBuf),
    /// Reading or writing failed.
    #[error("{0}")]
    Io(String),
}

impl From<LocalError> for Error {
    fn from(error: LocalError) -> Self {
        match error {
            LocalError::WrongPassword => Self::WrongPassword(error.to_string()),
            other => Self::Failed(other.to_string()),
        }
    }
}

/// Where a local secret comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Made here, known nowhere else.
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
    /// Where it comes from.
    pub origin: Origin,
    /// Counts replacements of a local secret; the server's number for a saved one.
    pub version: Version,
    /// When it was written here, in milliseconds since 1970-01-01 UTC.
    pub changed_ms: u64,
    /// Its value.
    #[serde(with = "file::secret_bytes")]
    pub value: SecretBytes,
}

/// Whose store, and on which device: bound into every derivation and ciphertext.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The account.
    pub account: AccountId,
    /// The device.
    pub device: DeviceId,
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
    /// Makes an empty store whose content is sealed under `key`, which is wrapped by the password.
    ///
    /// # Errors
    /// [`LocalError::Io`].
    pub fn create(
        path: &Path,
        owner: Owner,
        password: &SecretBytes,
        key: &Key,
    ) -> Result<Self, LocalError> {
        let store = Self {
            path: path.to_owned(),
            owner,
            wrapping: Wrapping::new(owner, password, key)?,
            key: key.clone(),
            secrets: Vec::new(),
        };
        store.save()?;
        Ok(store)
    }

    /// Opens a store by its password.
    ///
    /// # Errors
    /// [`LocalError`]; a wrong password and a damaged file are told apart.
    pub fn open_with_password(
        path: &Path,
        owner: Owner,
        password: &SecretBytes,
    ) -> Result<Self, LocalError> {
        let (wrapping, content) = file::read(path)?;
        let key = wrapping.unwrap(path, owner, password)?;
        Self::open(path, owner, wrapping, &content, &key)
    }

    /// Opens a store by its key, in a session that has it from the account key.
    ///
    /// # Errors
    /// [`LocalError`].
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

    /// All secrets, by name.
    pub fn secrets(&self) -> &[LocalSecret] {
        &self.secrets
    }

    /// The secret of this name.
    pub fn get(&self, name: &str) -> Option<&LocalSecret> {
        self.secrets.iter().find(|secret| secret.name == name)
    }

    /// Adds a secret, or replaces the one of its name; on the disk when this returns.
    ///
    /// # Errors
    /// [`LocalError::Io`]; the store is unchanged then.
    pub fn put(&mut self, secret: LocalSecret) -> Result<(), LocalError> {
        let before = self.secrets.clone();
        self.secrets.retain(|known| known.name != secret.name);
        self.secrets.push(secret);
        self.secrets.sort_by(|a, b| a.name.cmp(&b.name));
        self.save_or(before)
    }

    /// Removes a secret; says whether there was one.
    ///
    /// # Errors
    /// [`LocalError::Io`]; the store is unchanged then.
    pub fn remove(&mut self, name: &str) -> Result<bool, LocalError> {
        let before = self.secrets.clone();
        self.secrets.retain(|known| known.name != name);
        let removed = self.secrets.len() < before.len();
        self.save_or(before)?;
        Ok(removed)
    }

    fn save_or(&mut self, before: Vec<LocalSecret>) -> Result<(), LocalError> {
        self.save().inspect_err(|_| self.secrets = before)
    }

    fn save(&self) -> Result<(), LocalError> {
        let content = file::seal_content(self.owner, &self.wrapping, &self.key, &self.secrets)?;
        file::write(&self.path, &self.wrapping, &content)
    }
}
