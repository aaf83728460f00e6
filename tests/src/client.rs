//! The shell's own vault inside the test's process: for many operations in one session, which one run of the program a
//! time would make slow.

use std::sync::Arc;
use std::time::Duration;

use keyshell_base::names::SecretName;
use keyshell_client::device::identity::DeviceIdentity;
use keyshell_client::device::pins::PinsFile;
use keyshell_client::error::Error;
use keyshell_client::frontend::Frontend;
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
use keyshell_client::vault::{DeviceState, Vault};
use shared::ids::SecretId;
use shared::names::AccountName;
use shared::opaque::Slot;
use shared::secret::SecretBytes;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// How long clients in tests wait for one answer.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// Types the password whenever it is asked for.
#[derive(Debug)]
struct Typist(Password);

impl Frontend for Typist {
    fn password(&self, _: &AccountName) -> Result<Password, Error> {
        Ok(self.0.clone())
    }
}

/// A device with an account and, most of the time, a session.
pub struct Client {
    url: String,
    pin: String,
    account: AccountName,
    password: String,
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
        Self::on(folder, url, pin, account, password)
    }

    /// A second run on the same device.
    #[must_use]
    pub fn beside(&self) -> Self {
        let (folder, account) = (Arc::clone(&self.folder), self.account.as_str());
        Self {
            device: self.device.clone(),
            ..Self::on(folder, &self.url, &self.pin, account, &self.password)
        }
    }

    fn on(folder: Arc<TempDir>, url: &str, pin: &str, account: &str, password: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        Self {
            url: url.to_owned(),
            pin: pin.to_owned(),
            account: AccountName::parse(account).unwrap(),
            password: password.to_owned(),
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

    fn open(&mut self) -> Result<(), Error> {
        let state = DeviceState {
            pins: PinsFile::new(&self.folder.path().join("pins.json")),
            index: self.folder.path().join("index"),
            key: None,
        };
        let mut pins = state.pins.load()?;
        let trust = Trust::Pin(Pin::parse(&self.pin)?);
        let mut api = Api::new(Endpoint::parse(&self.url)?, trust, TIMEOUT)?;
        let password = Password::parse(&self.password)?;
        let frontend = Arc::new(Typist(password.clone()));
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
        let password = Password::parse(&self.password)?;
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
        password.clone_into(&mut self.password);
        Ok(())
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
