//! The local store, which opens with the session or with the password alone.

use shared::names::AccountName;

use crate::error::Error;
use crate::local::{LocalError, LocalStore, Owner};
use crate::password::Password;
use crate::shell::Shell;
use crate::vault::Vault;

impl Shell {
    /// The local store opens with the password alone, so it is made, or follows a new password, when one is at hand.
    pub(super) fn keep_local_store(
        &mut self,
        account: &AccountName,
        vault: &mut Vault,
        password: &Password,
    ) -> Result<(), Error> {
        let path = self.home.local_store(account);
        let owner = owner(vault);
        let key = vault.session().keys().local_store();
        let open = || match LocalStore::open_with_key(&path, owner, &key) {
            // It may be of before the account key was replaced; the password opens it all the same.
            Err(error @ LocalError::Damaged(_)) => {
                let Ok(mut store) =
                    LocalStore::open_with_password(&path, owner, password.as_secret())
                else {
                    return Err(error);
                };
                store.set_key(password.as_secret(), &key)?;
                Ok(store)
            }
            opened => opened,
        };
        let store = if path.exists() {
            open()
        } else {
            crate::home::make_parent(&path)?;
            match LocalStore::create(&path, owner, password.as_secret(), &key) {
                // Another run was faster.
                Err(LocalError::Exists(_)) => open(),
                made => made,
            }
        };
        match store.and_then(|mut store| {
            if !vault.knows_local_password() {
                store.set_password(password.as_secret())?;
            }
            Ok(store)
        }) {
            Ok(store) => {
                self.local = Some(store);
                vault.note_local_password()
            }
            Err(error) => {
                self.out
                    .say(&format!("the local store is not usable: {error}"));
                Ok(())
            }
        }
    }

    /// The local store as it is on the disk now; opens it with the password where there is no session.
    ///
    /// # Errors
    /// [`Error::LoginRefused`] for a wrong password, [`Error::Failed`] for a damaged or missing store.
    pub fn local_store(&mut self) -> Result<&mut LocalStore, Error> {
        if let Some(store) = &mut self.local {
            store.refresh()?;
        } else {
            self.local = Some(self.open_local_store()?);
        }
        self.local
            .as_mut()
            .ok_or_else(|| Error::Failed("the local store is closed".into()))
    }

    fn open_local_store(&mut self) -> Result<LocalStore, Error> {
        let account = self.account()?;
        let path = self.home.local_store(&account);
        if !self.has_local_store()? {
            let text = "there is no local store here yet; the first `login` makes it";
            return Err(Error::Failed(text.into()));
        }
        if let Some(vault) = &self.vault {
            let owner = owner(vault);
            let key = vault.session().keys().local_store();
            return Ok(LocalStore::open_with_key(&path, owner, &key)?);
        }
        let pins = self.pins_file(&account).load()?;
        let pins = pins.ok_or_else(|| Error::Failed("the pins are gone".into()))?;
        let device = self.home.device()?;
        let password = self.source(&account)?.get(account.as_str())?;
        let owner = Owner {
            account: pins.account,
            device,
        };
        let store = LocalStore::open_with_password(&path, owner, password.as_secret())?;
        Ok(store)
    }

    /// Whether there is a local store, open or not.
    ///
    /// # Errors
    /// [`Error::Usage`] where no account is known, [`Error::Failed`].
    pub fn has_local_store(&mut self) -> Result<bool, Error> {
        let account = self.account()?;
        let is_there = self.home.local_store(&account).exists();
        Ok(is_there && self.pins_file(&account).load()?.is_some())
    }

    /// Whether the local store opens without the password.
    pub fn is_local_open(&self) -> bool {
        self.local.is_some() || self.vault.is_some()
    }

    /// Names in the local store, if that is open.
    pub fn local_names(&self) -> Vec<&str> {
        let secrets = self.local.as_ref().map(LocalStore::secrets);
        let secrets = secrets.into_iter().flatten();
        secrets.map(|secret| secret.name.as_str()).collect()
    }
}

fn owner(vault: &Vault) -> Owner {
    Owner {
        account: vault.pins().account,
        device: vault.session().device(),
    }
}
