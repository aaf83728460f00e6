//! Registration, and changes of credentials and of the account key.

use shared::opaque::Slot;
use shared::secret::SecretBytes;
use shared::wire::register::RegisterFinish;

use crate::account::connect::{Connect, Connected, Purpose};
use crate::account::state::Account;
use crate::device::pins::{Pins, ServerPins};
use crate::error::{Error, Result};
use crate::keys::password::Password;
use crate::keys::recovery::RecoveryCode;
use crate::opaque::login::LoginCredential;
use crate::opaque::register::Registration;
use crate::vault::enrol::{NewSlot, OtherDevices};
use crate::vault::rekey::Rotation;

/// A registration that the server has agreed to, before the account exists.
#[derive(Debug)]
pub struct PreparedRegistration {
    connected: Connected,
    finish: RegisterFinish,
    pins: Pins,
    password: Password,
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
        let registration = Registration {
            account: &account,
            device: self.device.home.device()?,
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
        let vault = self.freshly_authenticated_vault().await?;
        vault.enrol_device().await?;
        let secret = vault.device_secret().cloned();
        self.credential.clone_from(&secret);
        secret.ok_or_else(|| Error::Failed("this device has no credential of its own".into()))
    }

    /// Opens a session with the recovery code, and replaces password and code.
    ///
    /// # Errors
    /// [`Error::RecoveryRefused`]; else as [`Self::log_in`] and [`Vault::install`](crate::vault::Vault::install).
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
        vault.install(&both, OtherDevices::Revoke).await?;
        self.device.follow_session(&account, &mut vault, password)?;
        let endpoint = vault.session().endpoint().clone();
        self.vault = Some(vault);
        self.connector
            .remember(account.as_str(), &endpoint, &trust, true)
    }

    /// Replaces the password. Other devices need the new one, also those that opened sessions by themselves.
    ///
    /// # Errors
    /// [`Error::SessionEnded`] without a session, and as [`Vault::install`](crate::vault::Vault::install).
    pub async fn change_password(&mut self, new: &Password) -> Result<()> {
        let account = self.name()?;
        let mut vault = self.vault.take().ok_or(Error::SessionEnded)?;
        let new_slot = NewSlot::new(Slot::Password, new.as_secret());
        vault.install(&[new_slot], OtherDevices::Revoke).await?;
        self.device.follow_session(&account, &mut vault, new)?;
        self.vault = Some(vault);
        Ok(())
    }

    /// Re-encrypts the vault log under a new account key, or goes on with that; nothing changes for readers yet.
    ///
    /// # Errors
    /// [`Error::SessionEnded`] without a session, and as
    /// [`Vault::begin_rotation`](crate::vault::Vault::begin_rotation).
    pub async fn begin_rotation(&mut self, password: &Password) -> Result<Rotation> {
        let mut vault = self.vault.take().ok_or(Error::SessionEnded)?;
        let rotation = vault.begin_rotation(password.as_secret()).await?;
        self.vault = Some(vault);
        Ok(rotation)
    }

    /// Puts the new account key in place; the local store follows.
    ///
    /// # Errors
    /// As [`Vault::finish_rotation`](crate::vault::Vault::finish_rotation).
    pub async fn finish_rotation(
        &mut self,
        rotation: Rotation,
        password: &Password,
        recovery: Option<&SecretBytes>,
    ) -> Result<()> {
        let account = self.name()?;
        let mut vault = self.vault.take().ok_or(Error::SessionEnded)?;
        let finished = vault.finish_rotation(rotation, password.as_secret(), recovery);
        finished.await?;
        self.credential = vault.device_secret().cloned();
        self.device.local = None;
        self.device.follow_session(&account, &mut vault, password)?;
        self.vault = Some(vault);
        Ok(())
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
