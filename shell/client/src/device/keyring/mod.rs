//! The desktop's keyring: small secrets that whoever has only this device's files does not have.
//!
//! It is the Secret Service on most systems and the keychain on macOS. Nothing that the shell cannot do without depends
//! on it: there may be none, it may be locked, and it may never answer.

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

/// Whose items these are.
const APPLICATION: &str = "keyshell";
/// How long a keyring may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a person may take to unlock it.
const PATIENCE_OF_A_PERSON: Duration = Duration::from_mins(1);

/// The keyring cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// There is none.
    #[error("there is no keyring here ({0})")]
    Absent(String),
    /// It is locked, and nobody unlocked it.
    #[error("the keyring is locked")]
    Locked,
    /// It took too long.
    #[error("the keyring does not answer")]
    Silent,
    /// Anything else.
    #[error("the keyring failed: {0}")]
    Failed(String),
}

/// What may happen where the keyring is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlocking {
    /// It stays so, and that is an error.
    Never,
    /// The desktop asks the person.
    Ask,
}

/// What an item is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// What the local store's key is wrapped under besides the password.
    LocalStore,
    /// The device key of an account that was made with one.
    DeviceKey,
}

impl Kind {
    /// Its name, as people see it in the keyring.
    fn name(self) -> &'static str {
        match self {
            Self::LocalStore => "local store",
            Self::DeviceKey => "device key",
        }
    }
}

/// Tells an item from all others, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ItemId([u8; Self::LEN]);

impl ItemId {
    /// Length in bytes.
    pub const LEN: usize = 16;

    /// Wraps the bytes.
    pub const fn new(bytes: [u8; Self::LEN]) -> Self {
        Self(bytes)
    }

    /// A fresh one.
    pub fn random() -> Self {
        let mut bytes = [0; Self::LEN];
        OsRng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// From lower-case hex; `None` if it is anything else.
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
    /// What it is for.
    pub kind: Kind,
    /// Which of them.
    pub id: ItemId,
}

/// Whether there is a keyring, locked or not.
///
/// # Errors
/// [`KeyringError`].
pub fn look() -> Result<(), KeyringError> {
    within(Unlocking::Never, backend::look)
}

/// Whether the keyring has this item, as far as it says so while it is locked.
///
/// # Errors
/// [`KeyringError`].
pub fn has(item: Item) -> Result<bool, KeyringError> {
    within(Unlocking::Never, move || backend::has(item))
}

/// What this item holds; `None` where there is no such item.
///
/// # Errors
/// [`KeyringError`].
pub fn read(item: Item, unlocking: Unlocking) -> Result<Option<SecretBytes>, KeyringError> {
    within(unlocking, move || backend::read(item, unlocking))
}

/// Makes an item.
///
/// # Errors
/// [`KeyringError`].
pub fn write(item: Item, secret: &SecretBytes, unlocking: Unlocking) -> Result<(), KeyringError> {
    let secret = secret.clone();
    within(unlocking, move || backend::write(item, &secret, unlocking))
}

/// Removes an item, if there is one.
///
/// # Errors
/// [`KeyringError`].
pub fn remove(item: Item, unlocking: Unlocking) -> Result<(), KeyringError> {
    within(unlocking, move || backend::remove(item, unlocking))
}

/// The keychain of macOS asks the person in any case.
fn patience(unlocking: Unlocking) -> Duration {
    match unlocking {
        Unlocking::Never if !cfg!(target_os = "macos") => PATIENCE,
        Unlocking::Never | Unlocking::Ask => PATIENCE_OF_A_PERSON,
    }
}

/// Works on a thread of its own, which is left behind where it takes too long.
fn within<T: Send + 'static>(
    unlocking: Unlocking,
    work: impl FnOnce() -> Result<T, KeyringError> + Send + 'static,
) -> Result<T, KeyringError> {
    let (done, result) = mpsc::channel();
    thread::Builder::new()
        .spawn(move || done.send(work()))
        .map_err(|error| KeyringError::Failed(error.to_string()))?;
    match result.recv_timeout(patience(unlocking)) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => Err(KeyringError::Silent),
        Err(RecvTimeoutError::Disconnected) => Err(KeyringError::Failed("it broke off".into())),
    }
}
