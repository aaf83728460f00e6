//! The desktop's keyring, which holds small secrets outside this device's files: the Secret Service on most systems,
//! the keychain on macOS. It is optional: it may be missing, locked, or never answer.

#[cfg(target_os = "macos")]
mod keychain;
#[cfg(not(target_os = "macos"))]
mod secret_service;

use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;
use std::{fmt, thread};

use data_encoding::HEXLOWER;
#[cfg(target_os = "macos")]
use keychain as backend;
use rand::RngCore as _;
use rand::rngs::OsRng;
#[cfg(not(target_os = "macos"))]
use secret_service as backend;
use shared::secret::SecretBytes;

/// The application that the items belong to.
const APPLICATION: &str = "keyshell";
/// Longest time to wait for an answer of the keyring.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest time to wait for a person to unlock the keyring.
const UNLOCK_TIMEOUT: Duration = Duration::from_mins(1);

/// An operation of the keyring failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// This session has no keyring.
    #[error("there is no keyring here ({0})")]
    Absent(String),
    /// It is locked and was not unlocked.
    #[error("the keyring is locked")]
    Locked,
    /// It did not answer in time.
    #[error("the keyring does not answer")]
    Silent,
    /// Another failure.
    #[error("the keyring failed: {0}")]
    Failed(String),
}

/// The action on a locked keyring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlocking {
    /// Fail with [`KeyringError::Locked`].
    Never,
    /// Let the desktop ask the person to unlock it.
    Ask,
}

/// The purpose of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A secret that wraps the local store's key together with the password.
    LocalStore,
    /// The device key of an account that was made with one.
    DeviceKey,
}

impl Kind {
    /// Its name, as the keyring shows it.
    fn name(self) -> &'static str {
        match self {
            Self::LocalStore => "local store",
            Self::DeviceKey => "device key",
        }
    }
}

/// The random or derived id of an item (16 bytes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ItemId([u8; Self::LEN]);

impl ItemId {
    /// Length in bytes.
    pub const LEN: usize = 16;

    /// The id with these bytes.
    pub const fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// A random id.
    pub fn random() -> Self {
        let mut bytes = [0; Self::LEN];
        OsRng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// Parses 32 lower-case hexadecimal digits; `None` for other text.
    pub fn from_hex(text: &str) -> Option<Self> {
        let bytes = HEXLOWER.decode(text.as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

impl fmt::Display for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

/// One item of the keyring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item {
    /// Its purpose.
    pub kind: Kind,
    /// Its id.
    pub id: ItemId,
}

impl Item {
    /// The item of a local store.
    pub(crate) fn local_store(id: ItemId) -> Self {
        let kind = Kind::LocalStore;
        Self { kind, id }
    }

    /// The item of a device key.
    pub(crate) fn device_key(id: ItemId) -> Self {
        let kind = Kind::DeviceKey;
        Self { kind, id }
    }
}

/// Checks that there is a keyring, locked or not.
///
/// # Errors
/// [`KeyringError`].
pub fn look() -> Result<(), KeyringError> {
    with_timeout(Unlocking::Never, backend::look)
}

/// Returns whether the keyring has this item; does not unlock it.
///
/// # Errors
/// [`KeyringError`].
pub fn has(item: Item) -> Result<bool, KeyringError> {
    with_timeout(Unlocking::Never, move || backend::has(item))
}

/// Reads the secret of an item; `None` where there is no such item.
///
/// # Errors
/// [`KeyringError`].
pub fn read(item: Item, unlocking: Unlocking) -> Result<Option<SecretBytes>, KeyringError> {
    with_timeout(unlocking, move || backend::read(item, unlocking))
}

/// Creates an item, or replaces its secret.
///
/// # Errors
/// [`KeyringError`].
pub fn write(item: Item, secret: &SecretBytes, unlocking: Unlocking) -> Result<(), KeyringError> {
    let secret = secret.clone();
    with_timeout(unlocking, move || backend::write(item, &secret, unlocking))
}

/// Removes an item, if there is one.
///
/// # Errors
/// [`KeyringError`].
pub fn remove(item: Item, unlocking: Unlocking) -> Result<(), KeyringError> {
    with_timeout(unlocking, move || backend::remove(item, unlocking))
}

/// The keychain of macOS asks the person in any case.
fn timeout(unlocking: Unlocking) -> Duration {
    match unlocking {
        Unlocking::Never if !cfg!(target_os = "macos") => ANSWER_TIMEOUT,
        Unlocking::Never | Unlocking::Ask => UNLOCK_TIMEOUT,
    }
}

/// Runs `work` on a thread of its own, which is abandoned at the timeout.
fn with_timeout<T: Send + 'static>(
    unlocking: Unlocking,
    work: impl FnOnce() -> Result<T, KeyringError> + Send + 'static,
) -> Result<T, KeyringError> {
    let (done, result) = mpsc::channel();
    thread::Builder::new()
        .spawn(move || done.send(work()))
        .map_err(|error| KeyringError::Failed(error.to_string()))?;
    match result.recv_timeout(timeout(unlocking)) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => Err(KeyringError::Silent),
        Err(RecvTimeoutError::Disconnected) => Err(KeyringError::Failed("it broke off".into())),
    }
}
