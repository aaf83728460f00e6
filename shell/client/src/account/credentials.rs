//! Registration, and changes of credentials and of the account key.

use shared::opaque::Slot;
use shared::secret::SecretBytes;
use shared::wire::register::RegisterFinish;

use crate::account::connect::{Connect, Connected, Purpose};
use crate::account::local_store::LostKey;
use crate::account::state::Account;
use crate::device::pins::{Pins, ServerPins};
use crate::error::{Error, Result};
use crate::keys::anchor::Anchor;
use crate::keys::password::Password;
use crate::keys::recovery::RecoveryCode;
use crate::opaque::login::LoginCredential;
use crate::opaque::register::Registration;
use crate::vault::enrol::NewSlot;
use crate::vault::epoch::Revoked;

/// A registration that the server has agreed to, before the account exists.
#[derive(Debug)]
pub struct PreparedRegistration {
    connected: Connected,
    finish: RegisterFinish,
    pins: Pins,
    password: Password,
}

impl PreparedRegistration {
    /// The connection.
    pub fn connected(&self) -> &Connected {
        &self.connected
    }

    /// The code of the state in which the account begins.
    pub fn anchor(&self) -> Anchor {
        Anchor::of(&self.pins)
    }
}

impl<C: Connect> Account<C> {
    /// Prepares an account with these two credentials. `password` is mixed with the device key already.
    ///
    /// # Errors
    /// [`Error::Exists`] where this device knows the account already or the name is taken, and those of every exchange.
    pub async fn prepare_registration(
        &mut self,
        mut connected: Connected,
        password: Password,
        recovery: &RecoveryCode,
        invite: Option<String>,
    ) -> Result<PreparedRegistration> {
        let account = self.name()?;
        let device = self.device.home.device()?;
        let registration = Registration {
            account: &account,
            device: &device,
            server: ServerPins::from(&connected.hello),
            invite,
            credentials: &[
                (Slot::Password, password.as_secret()),
                (Slot::Recovery, recovery.as_secret()),
            ],
        };
        let (finish, pins) = registration.prepare(&mut connected.api).await?;
        Ok(PreparedRegistration {
            connected,
            finish,
            pins,
            password,
        })
    }

    /// Makes the account. After an error it may exist all the same.
    ///
    /// # Errors
    /// Those of every exchange.
    pub async fn complete_registration(
        &mut self,
        prepared: &mut PreparedRegistration,
    ) -> Result<()> {
        let PreparedRegistration {
            connected, finish, ..
        } = prepared;
        Registration::complete(&mut connected.api, finish).await
    }

    /// Opens the first session of an account that was just made.
    ///
    /// # Errors
    /// As [`Self::log_in`].
    pub async fn log_in_registered(&mut self, made: PreparedRegistration) -> Result<()> {
        let account = self.name()?;
        self.device.pins_file(&account).hold()?.save(&made.pins)?;
        drop(made.connected);
        // Connects anew: a private server closes its registration once its owner has an account.
        let connected = self.connect().await?;
        self.log_in_with(connected, &made.password, true).await
    }

    /// Makes the account and opens its first session, where nothing has to happen in between. Without the password and
    /// without the recovery code its data can never be read.
    ///
    /// # Errors
    /// As [`Self::prepare_registration`], [`Self::complete_registration`] and [`Self::log_in_registered`].
    pub async fn register(&mut self, recovery: &RecoveryCode) -> Result<()> {
        let connected = self.connector.connect(Purpose::Register).await?;
        let account = self.name()?;
        let password = self.password(&account)?;
        let prepared = self.prepare_registration(connected, password, recovery, None);
        let mut prepared = prepared.await?;
        self.complete_registration(&mut prepared).await?;
        self.log_in_registered(prepared).await
    }

    /// Makes this device a credential of its own, in the place of any before.
    ///
    /// # Errors
    /// Those of [`Vault::enrol_device`](crate::vault::Vault::enrol_device).
    pub async fn make_credential(&mut self) -> Result<SecretBytes> {
        let lease = self.renewal.lease;
        let vault = self.freshly_authenticated_vault().await?;
        vault.enrol_device(lease).await?;
        let secret = vault.device_secret().cloned();
        self.credential.clone_from(&secret);
        secret.ok_or_else(|| Error::Failed("this device has no credential of its own".into()))
    }

    /// Opens a session with the recovery code, and replaces password and code.
    ///
    /// # Errors
    /// [`Error::RecoveryRefused`]; else as [`Self::log_in`] and [`Vault::begin_epoch`](crate::vault::Vault::begin_epoch).
    pub async fn recover(
        &mut self,
        connected: Connected,
        code: &SecretBytes,
        password: &Password,
        next_code: &SecretBytes,
    ) -> Result<()> {
        let account = self.name()?;
        let trust = connected.trust.clone();
        let by = LoginCredential::new(Slot::Recovery, code);
        let mut vault = match self.open(connected, &account, by).await {
            Err(Error::LoginRefused) => return Err(Error::RecoveryRefused),
            opened => opened?,
        };
        let both = [
            NewSlot::new(Slot::Password, password.as_secret()),
            NewSlot::new(Slot::Recovery, next_code),
        ];
        vault.begin_epoch(&both, &[]).await?;
        self.device
            .follow_session(&account, &mut vault, password, LostKey::default())?;
        let endpoint = vault.session().endpoint().clone();
        self.vault = Some(vault);
        self.trust_again()?;
        self.connector
            .remember(account.as_str(), &endpoint, &trust, true)
    }

    /// Replaces the password, and begins a key epoch. The recovery code and other devices' own credentials stay valid.
    ///
    /// # Errors
    /// [`Error::SessionEnded`] without a session, and as [`Vault::begin_epoch`](crate::vault::Vault::begin_epoch).
    pub async fn change_password(&mut self, new: &Password) -> Result<()> {
        let account = self.name()?;
        let mut vault = self.vault.take().ok_or(Error::SessionEnded)?;
        let new_slot = NewSlot::new(Slot::Password, new.as_secret());
        vault.begin_epoch(&[new_slot], &[]).await?;
        self.device.local = None;
        self.device
            .follow_session(&account, &mut vault, new, LostKey::default())?;
        self.vault = Some(vault);
        Ok(())
    }

    /// Replaces password and recovery code and revokes the credentials of all devices, all at once, and begins a key epoch;
    /// [`Self::replace_account_key`] then re-encrypts everything, and the local store follows.
    ///
    /// # Errors
    /// [`Error::SessionEnded`] without a session, and as [`Vault::begin_epoch`](crate::vault::Vault::begin_epoch).
    pub async fn replace_credentials(
        &mut self,
        password: &Password,
        code: &SecretBytes,
    ) -> Result<()> {
        let mut vault = self.vault.take().ok_or(Error::SessionEnded)?;
        let both = [
            NewSlot::new(Slot::Password, password.as_secret()),
            NewSlot::new(Slot::Recovery, code),
        ];
        vault.begin_replacement(&both, Revoked::Devices).await?;
        self.vault = Some(vault);
        Ok(())
    }

    /// Begins a key epoch and re-encrypts everything under its account key, or goes on with that; the local store
    /// follows. Returns the number of versions that cannot be read and stay as they are.
    ///
    /// # Errors
    /// [`Error::SessionEnded`] without a session, and as
    /// [`Vault::replace_account_key`](crate::vault::Vault::replace_account_key).
    pub async fn replace_account_key(&mut self, password: &Password) -> Result<u64> {
        let account = self.name()?;
        let mut vault = self.vault.take().ok_or(Error::SessionEnded)?;
        let replaced = vault.replace_account_key(LoginCredential::password(password));
        let unreadable = replaced.await?;
        self.device.local = None;
        self.device
            .follow_session(&account, &mut vault, password, LostKey::default())?;
        self.vault = Some(vault);
        Ok(unreadable)
    }

    /// Deletes the account, and what this device keeps of it; returns the server's last signed checkpoint.
    ///
    /// # Errors
    /// [`Error::Verification`] for a receipt that does not cover what this device has seen, and those of every exchange.
    pub async fn delete(&mut self) -> Result<String> {
        let account = self.name()?;
        let vault = self.vault.take().ok_or(Error::SessionEnded)?;
        let receipt = vault.delete().await?;
        self.device.forget_account(&account)?;
        Ok(receipt)
    }
}
