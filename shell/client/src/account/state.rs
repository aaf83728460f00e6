//! An account with what is in memory of it: the open vault, this device's credential, the open local store.

use std::fmt;
use std::time::{Duration, Instant};

use shared::names::AccountName;
use shared::secret::SecretBytes;

use crate::account::device::Device;
use crate::error::Result;
use crate::index::Secret;
use crate::vault::Vault;

/// For how long a login with the password counts as a fresh proof of who is there. The server allows a little more.
pub(super) const FRESH_LOGIN: Duration = Duration::from_mins(4);

/// An account at the server that `C` connects to.
pub struct Account<C> {
    /// Connects to the server.
    pub connector: C,
    /// The data on this device.
    pub device: Device,
    /// How sessions are opened and kept open.
    pub renewal: Renewal,
    pub(super) name: Option<AccountName>,
    pub(super) vault: Option<Vault>,
    /// When the running command logged in with the password.
    pub(super) password_proven: Option<Instant>,
    /// The secret of this device's own credential, which opens a session without the password.
    pub(super) credential: Option<SecretBytes>,
}

/// How sessions are opened and kept open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Renewal {
    /// Whether the agent of this profile is asked for this device's credential before a person is asked for the password.
    pub asks_agent: bool,
    /// Whether a login with the password makes a credential for this device, so that a session that ended is opened
    /// again without the password.
    pub makes_credential: bool,
}

impl<C> Account<C> {
    /// An account without a session. `name` is asked for when it is needed and not known.
    pub fn new(connector: C, device: Device, name: Option<AccountName>) -> Self {
        Self {
            connector,
            device,
            renewal: Renewal::default(),
            name,
            vault: None,
            password_proven: None,
            credential: None,
        }
    }

    /// The account's name.
    ///
    /// # Errors
    /// [`Error::Usage`](crate::error::Error::Usage) where it is not known and cannot be asked for.
    pub fn name(&mut self) -> Result<AccountName> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        let name = self.device.frontend.account_name()?;
        self.name = Some(name.clone());
        Ok(name)
    }

    /// The open vault as of the last sync; `None` without a session.
    pub fn open_vault(&self) -> Option<&Vault> {
        self.vault.as_ref()
    }

    /// The secrets as of the last sync, by name; none without a session.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let secrets = self.vault.as_ref().map(|vault| vault.index().secrets());
        secrets.into_iter().flatten()
    }

    /// Their names.
    pub fn secret_names(&self) -> impl Iterator<Item = &str> {
        self.secrets().map(|secret| secret.metadata.name.as_str())
    }

    /// Whether keys are in memory.
    pub fn is_unlocked(&self) -> bool {
        self.vault.is_some() || self.device.local.is_some() || self.credential.is_some()
    }

    /// Whether the local store opens without the password.
    pub fn is_local_open(&self) -> bool {
        self.vault.is_some() || self.device.local.is_some()
    }

    /// Whether a session can be opened without the password.
    pub fn has_credential(&self) -> bool {
        self.credential.is_some()
    }

    /// Opens sessions by this credential of the device from now on.
    pub fn set_credential(&mut self, secret: SecretBytes) {
        self.credential = Some(secret);
    }

    /// Begins another command: a login before it is no proof of who gives this one.
    pub fn begin_command(&mut self) {
        self.password_proven = None;
    }

    /// Drops a vault whose request was given up halfway: the outcome of the request is not known, so the next command
    /// opens the vault again. Returns whether there was one.
    pub fn drop_unfinished(&mut self) -> bool {
        let dropped = self.vault.take_if(|vault| vault.session().is_waiting());
        dropped.is_some()
    }
}

impl<C> fmt::Debug for Account<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("name", &self.name)
            .field("vault", &self.vault)
            .finish_non_exhaustive()
    }
}
