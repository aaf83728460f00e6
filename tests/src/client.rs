//! The shell's own vault inside the test's process: for many operations in one session, which one run of the program a
//! time would make slow.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use keyshell_base::names::SecretName;
use keyshell_client::account::Renewal;
use keyshell_client::device::identity::DeviceIdentity;
use keyshell_client::device::pins::PinsFile;
use keyshell_client::error::Error;
use keyshell_client::frontend::Frontend;
use keyshell_client::index::Index;
use keyshell_client::index::metadata::Metadata;
use keyshell_client::keys::password::Password;
use keyshell_client::opaque::login::LoginCredential;
use keyshell_client::session::Session;
use keyshell_client::transport::api::Api;
use keyshell_client::transport::http::Endpoint;
use keyshell_client::transport::tls::{Pin, Trust};
use keyshell_client::vault::audit::{AuditQuery, VerifiedRecord};
use keyshell_client::vault::commit::Change;
use keyshell_client::vault::enrol::NewSlot;
use keyshell_client::vault::restore::NewCredentials;
use keyshell_client::vault::{DeviceState, Vault};
use shared::ids::SecretId;
use shared::names::AccountName;
use shared::opaque::Slot;
use shared::secret::SecretBytes;
use shared::vault_log::FIRST_EPOCH;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// How long clients in tests wait for one answer.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// Types the newest password whenever it is asked for.
#[derive(Debug, Clone)]
struct Typist(Arc<Mutex<Password>>);

impl Typist {
    fn new(password: &str) -> Self {
        Self(Arc::new(Mutex::new(Password::parse(password).unwrap())))
    }

    fn typed(&self) -> Password {
        self.0.lock().unwrap().clone()
    }
}

impl Frontend for Typist {
    fn password(&self, _: &AccountName) -> Result<Password, Error> {
        Ok(self.typed())
    }
}

/// A device with an account and, most of the time, a session.
pub struct Client {
    url: String,
    pin: String,
    account: AccountName,
    password: Typist,
    device: DeviceIdentity,
    folder: Arc<TempDir>,
    runtime: Runtime,
    vault: Option<Vault>,
}

impl Client {
    /// A device of an account that exists, without a session yet.
    pub fn new(url: &str, pin: &str, account: &str, password: &str) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        std::fs::write(folder.path().join("password"), password).unwrap();
        Self::on(folder, url, pin, account, Typist::new(password))
    }

    /// A second run on the same device.
    #[must_use]
    pub fn beside(&self) -> Self {
        let (folder, account) = (Arc::clone(&self.folder), self.account.as_str());
        let password = self.password.clone();
        Self {
            device: self.device.clone(),
            ..Self::on(folder, &self.url, &self.pin, account, password)
        }
    }

    fn on(folder: Arc<TempDir>, url: &str, pin: &str, account: &str, password: Typist) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        Self {
            url: url.to_owned(),
            pin: pin.to_owned(),
            account: AccountName::parse(account).unwrap(),
            password,
            device: DeviceIdentity::random(),
            folder,
            runtime,
            vault: None,
        }
    }

    /// Is another device from the next session on.
    pub fn set_device(&mut self, device: DeviceIdentity) {
        self.vault = None;
        self.device = device;
    }

    /// Goes to another address from the next session on.
    pub fn set_server(&mut self, url: &str) {
        self.vault = None;
        url.clone_into(&mut self.url);
    }

    /// Forgets the session, as a process that ends does.
    pub fn close(&mut self) {
        self.vault = None;
    }

    /// Logs in and syncs where there is no session, else syncs.
    ///
    /// # Errors
    /// As the vault.
    pub fn sync(&mut self) -> Result<(), Error> {
        let Some(mut vault) = self.vault.take() else {
            return self.open();
        };
        self.runtime.block_on(vault.sync())?;
        self.vault = Some(vault);
        Ok(())
    }

    fn api(&self) -> Result<Api, Error> {
        let trust = Trust::Pin(Pin::parse(&self.pin)?);
        Api::new(Endpoint::parse(&self.url)?, trust, TIMEOUT)
    }

    fn state(&self) -> DeviceState {
        DeviceState {
            expected: None,
            pins: PinsFile::new(&self.folder.path().join("pins.json")),
            index: self.folder.path().join("index"),
            key: None,
        }
    }

    fn open(&mut self) -> Result<(), Error> {
        let (mut api, state) = (self.api()?, self.state());
        let mut pins = state.pins.load()?;
        let password = self.password.typed();
        let frontend = Arc::new(self.password.clone());
        let (account, device) = (&self.account, self.device.clone());
        let vault = self.runtime.block_on(async {
            let hello = api.hello().await?;
            let by = LoginCredential::password(&password);
            let session = Session::open(api, &hello, account, device, by, &mut pins).await?;
            Vault::open(session, frontend, state, pins.unwrap()).await
        })?;
        self.vault = Some(vault);
        Ok(())
    }

    /// The vault as of the last sync.
    pub fn vault(&self) -> &Vault {
        self.vault.as_ref().unwrap()
    }

    /// All names.
    ///
    /// # Errors
    /// As the vault.
    pub fn names(&mut self) -> Result<Vec<String>, Error> {
        self.sync()?;
        let secrets = self.vault().index().secrets();
        let names = secrets
            .iter()
            .map(|secret| secret.metadata.name.to_string());
        Ok(names.collect())
    }

    /// Reads the newest version of a secret; `None` where there is none of this name.
    ///
    /// # Errors
    /// As the vault.
    pub fn get(&mut self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        self.sync()?;
        self.fetch(name)
    }

    /// The same without a sync before.
    ///
    /// # Errors
    /// As the vault.
    pub fn fetch(&mut self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let vault = self.vault.as_mut().unwrap();
        let Some(secret) = vault.index().find(&secret_name(name)) else {
            return Ok(None);
        };
        let (id, newest) = (secret.id, *secret.newest().unwrap());
        let value = self.runtime.block_on(vault.fetch_one(id, &newest))?;
        Ok(Some(value.expose().to_vec()))
    }

    /// Stores a value: a new secret, or a new version of the one of this name.
    ///
    /// # Errors
    /// As the vault.
    pub fn put(&mut self, name: &str, value: &[u8]) -> Result<(), Error> {
        let fresh = SecretId::random();
        self.commit(name, |known| Change::Put {
            secret: known.map_or(fresh, |(id, _)| id),
            metadata: known.map_or_else(|| Metadata::named(secret_name(name)), |(_, m)| m.clone()),
            value: SecretBytes::from(value),
        })
    }

    /// Renames a secret.
    ///
    /// # Errors
    /// As the vault.
    pub fn rename(&mut self, from: &str, to: &str) -> Result<(), Error> {
        self.commit(from, |known| {
            let (secret, metadata) = known.unwrap();
            let mut metadata = metadata.clone();
            metadata.name = secret_name(to);
            Change::Describe { secret, metadata }
        })
    }

    /// Removes a secret.
    ///
    /// # Errors
    /// As the vault.
    pub fn remove(&mut self, name: &str) -> Result<(), Error> {
        self.commit(name, |known| Change::Remove {
            secret: known.unwrap().0,
        })
    }

    fn commit(
        &mut self,
        name: &str,
        change: impl Fn(Option<(SecretId, &Metadata)>) -> Change,
    ) -> Result<(), Error> {
        self.sync()?;
        let mut vault = self.vault.take().unwrap();
        let name = secret_name(name);
        self.runtime.block_on(vault.commit(|index| {
            let known = index.find(&name);
            Ok::<_, Error>(vec![change(known.map(|s| (s.id, &s.metadata)))])
        }))?;
        self.vault = Some(vault);
        Ok(())
    }

    /// Replaces the account key, and re-encrypts everything.
    ///
    /// # Errors
    /// As the vault.
    pub fn rotate(&mut self) -> Result<(), Error> {
        let password = self.password.typed();
        self.change(async |vault| {
            let by = LoginCredential::password(&password);
            vault.replace_account_key(by).await.map(drop)
        })
    }

    /// Replaces the password, and begins a key epoch.
    ///
    /// # Errors
    /// As the vault.
    pub fn change_password(&mut self, password: &str) -> Result<(), Error> {
        let new = Password::parse(password)?;
        self.change(async |vault| {
            let slot = NewSlot::new(Slot::Password, new.as_secret());
            vault.begin_epoch(&[slot], &[]).await
        })?;
        self.set_password(password);
        Ok(())
    }

    /// Types another password from now on.
    pub fn set_password(&self, password: &str) {
        *self.password.0.lock().unwrap() = Password::parse(password).unwrap();
    }

    /// Replaces the recovery code by this one, and begins a key epoch.
    ///
    /// # Errors
    /// As the vault.
    pub fn renew_recovery(&mut self, code: &SecretBytes) -> Result<(), Error> {
        self.change(async |vault| {
            let slot = NewSlot::new(Slot::Recovery, code);
            vault.begin_epoch(&[slot], &[]).await
        })
    }

    /// Gives this device a name, and a fresh generation of its own credential.
    ///
    /// # Errors
    /// As the vault.
    pub fn name_device(&mut self, name: &str) -> Result<(), Error> {
        let (name, lease) = (secret_name(name), Renewal::default().lease);
        self.change(async |vault| vault.rename_device(&name, lease).await)
    }

    /// Accepts what a server that was restored from a backup has lost. Password and recovery code are replaced by these
    /// where those of before are valid again; returns whether the password was.
    ///
    /// # Errors
    /// As the vault.
    pub fn acknowledge(&mut self, password: &str, code: &SecretBytes) -> Result<bool, Error> {
        let (mut api, state) = (self.api()?, self.state());
        let mut pins = state.pins.load()?;
        if let Some(pins) = &mut pins {
            pins.credentials.clear();
            pins.epoch = FIRST_EPOCH;
        }
        let typed = self.password.typed();
        let frontend = Arc::new(self.password.clone());
        let (account, device) = (&self.account, self.device.clone());
        let new = Password::parse(password)?;
        let (vault, is_replaced) = self.runtime.block_on(async {
            let hello = api.hello().await?;
            let by = LoginCredential::password(&typed);
            let session = Session::open(api, &hello, account, device, by, &mut pins).await?;
            let opened = Vault::examine_restore(session, frontend, state, pins.unwrap()).await;
            let (mut vault, loss) = opened?;
            let returns = |slot| {
                let mut returned = loss.returned_credentials.iter();
                returned.any(|credential| credential.slot == slot)
            };
            let is_replaced = returns(Slot::Password);
            let new = NewCredentials {
                password: is_replaced.then_some(new),
                recovery: returns(Slot::Recovery).then(|| code.clone()),
            };
            vault.acknowledge_restore(&loss, &new).await?;
            Ok::<_, Error>((vault, is_replaced))
        })?;
        self.vault = Some(vault);
        if is_replaced {
            self.set_password(password);
        }
        Ok(is_replaced)
    }

    /// Revokes the credentials of all other devices, and begins a key epoch.
    ///
    /// # Errors
    /// As the vault.
    pub fn revoke_others(&mut self) -> Result<(), Error> {
        self.change(async |vault| {
            let others = vault.other_devices();
            vault.revoke(&others).await
        })
    }

    /// Shows a removed secret again, the first one that had this name; `false` where there is none.
    ///
    /// # Errors
    /// As the vault.
    pub fn restore(&mut self, name: &str) -> Result<bool, Error> {
        self.change_removed(name, |secret| Change::Restore { secret })
    }

    /// Destroys the content of a removed secret, the first one that had this name; `false` where there is none.
    ///
    /// # Errors
    /// As the vault.
    pub fn purge(&mut self, name: &str) -> Result<bool, Error> {
        self.change_removed(name, |secret| Change::Purge { secret })
    }

    fn change_removed(
        &mut self,
        name: &str,
        change: impl Fn(SecretId) -> Change,
    ) -> Result<bool, Error> {
        self.sync()?;
        let name = secret_name(name);
        let mut removed = self.vault().index().removed().into_iter();
        let secret = removed.find(|removed| removed.secret.metadata.name == name);
        let Some(secret) = secret.map(|removed| removed.secret.id) else {
            return Ok(false);
        };
        self.change(async |vault| {
            let plan = |_: &Index| Ok::<_, Error>(vec![change(secret)]);
            vault.commit(plan).await
        })?;
        Ok(true)
    }

    /// Does something with the vault, after a sync.
    ///
    /// # Errors
    /// As the vault.
    pub fn change<T>(
        &mut self,
        change: impl AsyncFnOnce(&mut Vault) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.sync()?;
        let mut vault = self.vault.take().unwrap();
        let changed = self.runtime.block_on(change(&mut vault))?;
        self.vault = Some(vault);
        Ok(changed)
    }

    /// Reads and proves the whole audit log.
    ///
    /// # Errors
    /// As the vault.
    pub fn audit(&mut self) -> Result<Vec<VerifiedRecord>, Error> {
        let log = self.change(async |vault| {
            let all = AuditQuery {
                records: &|_| true,
                leaves: false,
            };
            vault.audit_log(all).await
        })?;
        Ok(log.records)
    }
}

/// The exit status of a shell that ends with this error.
pub fn status(error: &Error) -> u8 {
    keyshell::error::Error::from(error.clone()).status()
}

fn secret_name(name: &str) -> SecretName {
    SecretName::parse(name).unwrap()
}
