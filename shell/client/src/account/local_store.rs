//! The local store, which opens with the session, or without one by the password (and the keyring, where bound to it).

use std::path::Path;

use shared::names::AccountName;
use shared::secret::Key;

use crate::account::connect::Connect;
use crate::account::device::Device;
use crate::account::state::Account;
use crate::device::home;
use crate::device::local::{LocalError, LocalStore, Opener, Owner};
use crate::error::{Error, Result};
use crate::keys::password::Password;
use crate::vault::Vault;

/// Further passwords that may open a local store which was written under an account key that the server has lost.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LostKey<'a> {
    /// Another password at hand.
    pub(super) password: Option<&'a Password>,
    /// Whether the person is asked for the password.
    pub(super) asks: bool,
}

impl Device {
    /// Makes the local store, or has it follow a new password or account key: it opens without a session, so this is
    /// done while one is open.
    pub(super) fn follow_session(
        &mut self,
        account: &AccountName,
        vault: &mut Vault,
        password: &Password,
        lost: LostKey<'_>,
    ) -> Result<()> {
        let path = self.home.local_store(account);
        let owner = owner(vault);
        let key = vault.session().keys().local_store();
        let open = || open_with(&path, vault);
        let store = if path.exists() {
            open()
        } else {
            home::make_parent(&path)?;
            match LocalStore::create(&path, owner, password.as_secret(), &key) {
                // Another run was faster.
                Err(LocalError::Exists(_)) => open(),
                made => made,
            }
        };
        let store = match store {
            Err(LocalError::OtherKey(_)) => {
                self.open_by_passwords(account, &path, owner, password, lost)
            }
            opened => opened.map_err(Error::from),
        };
        let mut store = match store {
            Ok(store) => store,
            Err(error) => {
                self.frontend
                    .notice(&format!("the local store is not usable: {error}"));
                return Ok(());
            }
        };
        let follows = vault.knows_local_password() && store.is_under(&key);
        let followed = follows || self.follow(&mut store, password, &key);
        self.add_wanted_keyring(&mut store, password);
        self.local = Some(store);
        if followed {
            vault.note_local_password()?;
        }
        Ok(())
    }

    /// Opens a store that was written under an account key which the server has lost, by the passwords of that time.
    fn open_by_passwords(
        &self,
        account: &AccountName,
        path: &Path,
        owner: Owner,
        password: &Password,
        lost: LostKey<'_>,
    ) -> Result<LocalStore> {
        let secret = self.local_secret(owner, LocalStore::keyring_item_of(path)?)?;
        let open = |password: &Password| {
            let opener = Opener {
                password: password.as_secret(),
                keyring: secret.as_ref(),
            };
            LocalStore::open_with_password(path, owner, opener)
        };
        let mut opened = match (open(password), lost.password) {
            (Err(LocalError::WrongPassword), Some(other)) => open(other),
            (opened, _) => opened,
        };
        while lost.asks
            && let Err(LocalError::WrongPassword) = opened
            && let Some(typed) = self.frontend.store_password(account)?
        {
            opened = open(&self.mixed(account, typed)?);
        }
        match opened {
            Err(LocalError::WrongPassword) => Err(LocalError::OtherKey(path.to_owned()).into()),
            opened => {
                let store = opened?;
                self.frontend.notice(
                    "the local store was written under an account key that the server has lost; it follows the session again",
                );
                Ok(store)
            }
        }
    }

    /// Returns whether the store opens with this password, and holds this key, now; where it does not, the next login
    /// tries again.
    fn follow(&self, store: &mut LocalStore, password: &Password, key: &Key) -> bool {
        let secret = self.local_secret(store.owner(), store.keyring_item());
        let followed = secret.and_then(|secret| {
            let opener = Opener {
                password: password.as_secret(),
                keyring: secret.as_ref(),
            };
            Ok(store.set_key(opener, key)?)
        });
        followed
            .map_err(|error| {
                self.frontend.notice(&format!(
                    "offline the local store still opens with the password of before: {error}"
                ));
            })
            .is_ok()
    }

    /// Whether there is a local store of this account, open or not.
    ///
    /// # Errors
    /// [`Error::Failed`] for pins that cannot be read.
    pub fn has_local_store(&self, account: &AccountName) -> Result<bool> {
        let is_there = self.home.local_store(account).exists();
        Ok(is_there && self.pins_file(account).load()?.is_some())
    }

    /// Names in the local store, if that is open.
    pub fn local_names(&self) -> Vec<&str> {
        let secrets = self.local.as_ref().map(LocalStore::secrets);
        let secrets = secrets.into_iter().flatten();
        secrets.map(|secret| secret.name.as_str()).collect()
    }
}

impl<C: Connect> Account<C> {
    /// The local store as it is on the disk now; opens it with the password where there is no session.
    ///
    /// # Errors
    /// [`Error::LoginRefused`] for a wrong password, [`Error::Failed`] for a damaged or missing store.
    pub fn local_store(&mut self) -> Result<&mut LocalStore> {
        let refreshed = self.device.local.as_mut().map(LocalStore::refresh);
        match refreshed {
            // Another run on this device has written it under a newer account key.
            None | Some(Err(LocalError::OtherKey(_))) => {
                self.device.local = Some(self.open_local_store()?);
            }
            Some(refreshed) => refreshed?,
        }
        self.device
            .local
            .as_mut()
            .ok_or_else(|| Error::Failed("the local store is closed".into()))
    }

    fn open_local_store(&mut self) -> Result<LocalStore> {
        let account = self.name()?;
        let device = &self.device;
        let path = device.home.local_store(&account);
        if !device.has_local_store(&account)? {
            return Err(Error::NoLocalStore);
        }
        if let Some(vault) = &self.vault {
            return Ok(open_with(&path, vault)?);
        }
        let pins = device.pins_file(&account).load()?;
        let pins = pins.ok_or_else(|| Error::Failed("the pins are gone".into()))?;
        let owner = Owner {
            account: pins.account,
            device: device.home.device()?.id(),
        };
        // First: without the secret the password would be typed in vain.
        let secret = device.local_secret(owner, LocalStore::keyring_item_of(&path)?)?;
        let password = self.password(&account)?;
        let opener = Opener {
            password: password.as_secret(),
            keyring: secret.as_ref(),
        };
        Ok(LocalStore::open_with_password(&path, owner, opener)?)
    }

    /// Binds the local store to a secret in the desktop's keyring, or unbinds it; asks for the password.
    ///
    /// # Errors
    /// As [`Self::log_in`], [`Error::Failed`] where the keyring cannot be used.
    pub async fn bind_local_store(&mut self, to_keyring: bool) -> Result<()> {
        self.log_out().await?;
        let password = self.log_in(false).await?;
        self.local_store()?;
        let Some(mut store) = self.device.local.take() else {
            return Ok(());
        };
        self.device.set_keyring(&mut store, &password, to_keyring)?;
        self.device.local = Some(store);
        Ok(())
    }
}

/// Opens the store in a session; the store may be of before the account key was replaced.
fn open_with(path: &Path, vault: &Vault) -> Result<LocalStore, LocalError> {
    let owner = owner(vault);
    let key = vault.session().keys().local_store();
    let opened = LocalStore::open_with_key(path, owner, &key);
    let mut former = vault.session().keys().former_local_stores();
    match opened {
        Err(error @ LocalError::OtherKey(_)) => former
            .find_map(|former| LocalStore::open_with_key(path, owner, &former).ok())
            .ok_or(error),
        opened => opened,
    }
}

fn owner(vault: &Vault) -> Owner {
    Owner {
        account: vault.pins().account,
        device: vault.session().device(),
    }
}
