//! Sessions: opened by password, recovery code or the device itself, and closed.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use keyshell_client::agent::Agent;
use keyshell_client::device::home::Profile;
use keyshell_client::device::pins::Pins;
use keyshell_client::error::{AgentError, Error as ClientError};
use keyshell_client::keys::password::Password;
use keyshell_client::opaque::login::LoginCredential;
use keyshell_client::session::Session;
use keyshell_client::transport::http::Endpoint;
use keyshell_client::transport::tls::Trust;
use keyshell_client::vault::enrol::{NewSlot, OtherDevices};
use keyshell_client::vault::restore::RestoreLoss;
use keyshell_client::vault::{DeviceState, Vault};
use shared::names::AccountName;
use shared::opaque::Slot;
use shared::secret::SecretBytes;
use shared::vault_log::FIRST_EPOCH;

use crate::embedded::PrivateServer;
use crate::error::Error;
use crate::password_source::PasswordSource;
use crate::prompt::Prompt;
use crate::shell::{Connected, Shell};

/// What a person should hear before the password is asked for again.
const REPLACED: &str = "this device's own credential opens no session any more: it was revoked, or another keyshell on this \
                        device has replaced it";

/// A login proves for so long who is there. The server goes by its own clock, and a little longer.
const PROOF: Duration = Duration::from_mins(4);

/// Whether the owner says that the server was restored from a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Restored(bool);

impl Shell {
    /// The open vault, brought up to date; logs in where there is no session.
    ///
    /// # Errors
    /// What did not prove out before, as long as there is no explicit `login`; those of a login.
    pub async fn vault(&mut self) -> Result<&mut Vault, Error> {
        self.check_trust()?;
        // Taken out meanwhile, so that a session that fails is not used again.
        if let Some(mut vault) = self.vault.take() {
            vault.sync().await?;
            self.vault = Some(vault);
        } else {
            self.ask_agent()?;
            if !self.log_in_by_itself().await? {
                self.log_in(false).await?;
            }
        }
        self.vault.as_mut().ok_or(Error::SessionEnded)
    }

    /// The open vault as it is; `None` without a session.
    pub fn open_vault(&self) -> Option<&Vault> {
        self.vault.as_ref()
    }

    /// Goes by this device's own credential instead of the password.
    pub fn take_credential(&mut self, secret: SecretBytes) {
        self.own = Some(secret);
        self.is_agent = true;
    }

    /// Whether it can open a session without the password.
    pub fn has_credential(&self) -> bool {
        self.own.is_some()
    }

    /// Makes this device a credential of its own, in the place of any before.
    ///
    /// # Errors
    /// Those of [`Vault::enrol_device`].
    pub async fn make_credential(&mut self) -> Result<SecretBytes, Error> {
        let vault = self.persons_vault().await?;
        vault.enrol_device().await?;
        let secret = vault.device_secret().cloned();
        self.own.clone_from(&secret);
        secret.ok_or_else(|| Error::Failed("this device has no credential of its own".into()))
    }

    /// The agent, where the password would have to be typed otherwise.
    pub fn agent(&self) -> Option<Agent> {
        self.agent_within(keyshell_client::agent::PATIENCE)
    }

    /// The same for those who wait no longer than this for each answer.
    pub fn agent_within(&self, patience: Duration) -> Option<Agent> {
        let is_asked = matches!(self.passwords, PasswordSource::Prompt(_));
        let is_free = self.vault.is_none() && self.own.is_none();
        let is_free = is_free && !self.options.embedded && !self.is_agent;
        let agent = (is_asked && is_free).then(|| Agent::find(&self.home))??;
        let mut agent = agent.within(patience)?;
        // It may be for another account or server of the same profile.
        let status = agent.status()?;
        let is_ours = Some(status.account) == self.known_account();
        (is_ours && status.server == self.server_name()).then_some(agent)
    }

    /// Takes this device's own credential from the agent, if one runs that gives it away.
    fn ask_agent(&mut self) -> Result<(), Error> {
        if let Some(mut agent) = self.agent() {
            self.own = agent.credential()?;
            if self.own.is_none() && self.prompt == Prompt::Nobody {
                return Err(ClientError::from(AgentError::NoReveal).into());
            }
        }
        Ok(())
    }

    /// Opens a session by this device's own credential, after one that was lost; says whether that was possible.
    async fn log_in_by_itself(&mut self) -> Result<bool, Error> {
        let Some(secret) = self.own.clone() else {
            return Ok(false);
        };
        let account = self.account()?;
        let connected = self.connect().await?;
        let by = LoginCredential {
            slot: Slot::Device(self.home.device()?),
            secret: &secret,
        };
        let opened = match self.session(connected, &account, by).await {
            Err(Error::LoginRefused) => {
                self.own = None;
                self.out.say(REPLACED);
                return Ok(false);
            }
            opened => opened,
        };
        let (session, memory, pins) = opened?;
        let mut vault = Vault::open(session, self.frontend(&account)?, memory, pins).await?;
        vault.keep_device_secret(secret);
        self.vault = Some(vault);
        if self.stays {
            self.out.note("the session was opened again");
        }
        Ok(true)
    }

    /// Logs in; `explicit` where the person asked for just that, which saves server, account and pin. Returns the
    /// password, which has proven right.
    ///
    /// # Errors
    /// [`Error::LoginRefused`], [`Error::Verification`], and those of every exchange.
    pub async fn log_in(&mut self, explicit: bool) -> Result<Password, Error> {
        self.check_known()?;
        let account = self.account()?;
        if explicit {
            self.trust_again()?;
        }
        let connected = self.connect().await?;
        if self.embedded.as_ref().is_some_and(PrivateServer::is_open)
            && self.pins_file(&account).load()?.is_none()
        {
            let text = "there is no account yet: `register` makes it";
            return Err(Error::Usage(text.into()));
        }
        let password = self.source(&account)?.get(account.as_str())?;
        let opened = self.log_in_with(connected, &account, &password, explicit);
        match opened.await {
            Ok(()) => Ok(password),
            Err(error) => Err(self.explained(&account, error)),
        }
    }

    /// Logs in with a password that is at hand.
    ///
    /// # Errors
    /// As [`Self::log_in`].
    pub async fn log_in_with(
        &mut self,
        connected: Connected,
        account: &AccountName,
        password: &Password,
        explicit: bool,
    ) -> Result<(), Error> {
        let trust = connected.trust.clone();
        let by = LoginCredential {
            slot: Slot::Password,
            secret: password.as_secret(),
        };
        let (session, memory, pins) = self.session(connected, account, by).await?;
        let endpoint = session.endpoint().clone();
        let mut vault = Vault::open(session, self.frontend(account)?, memory, pins).await?;
        self.keep_local_store(account, &mut vault, password)?;
        if self.stays {
            self.enrol(&mut vault).await?;
        }
        self.vault = Some(vault);
        self.proven = Some(Instant::now());
        if explicit || self.profile.server.is_none() {
            self.save_profile(&endpoint, &trust, account)?;
        }
        Ok(())
    }

    /// Without a credential of its own a run only asks for the password more often.
    async fn enrol(&mut self, vault: &mut Vault) -> Result<(), Error> {
        // A second one would be the end of the agent's.
        if let Some(mut agent) = self.agent() {
            self.own = agent.credential()?;
            if let Some(secret) = &self.own {
                vault.keep_device_secret(secret.clone());
            }
            return Ok(());
        }
        match vault.enrol_device().await {
            Err(error) if error.verification().is_some() => Err(error.into()),
            Err(error) => {
                self.out.detail(&format!(
                    "this device has no credential of its own: {error}"
                ));
                Ok(())
            }
            Ok(()) => {
                self.own = vault.device_secret().cloned();
                Ok(())
            }
        }
    }

    /// Opens a session with the recovery code, and puts a new password and a new code in the place of the old ones.
    ///
    /// # Errors
    /// As [`Self::log_in`] and [`Vault::install`].
    pub async fn recover(
        &mut self,
        connected: Connected,
        code: &SecretBytes,
        password: &Password,
        next_code: &SecretBytes,
    ) -> Result<(), Error> {
        let account = self.account()?;
        let trust = connected.trust.clone();
        let by = LoginCredential {
            slot: Slot::Recovery,
            secret: code,
        };
        let (session, memory, pins) = self.session(connected, &account, by).await?;
        let endpoint = session.endpoint().clone();
        let mut vault = Vault::open(session, self.frontend(&account)?, memory, pins).await?;
        let new = |slot, secret| NewSlot {
            slot,
            secret,
            name: None,
        };
        let both = [
            new(Slot::Password, password.as_secret()),
            new(Slot::Recovery, next_code),
        ];
        vault.install(&both, OtherDevices::Revoke).await?;
        self.keep_local_store(&account, &mut vault, password)?;
        self.vault = Some(vault);
        self.save_profile(&endpoint, &trust, &account)
    }

    /// Puts another password in the place of the old one, which is asked for first. Devices that opened sessions by
    /// themselves need the new one.
    ///
    /// # Errors
    /// As [`Self::log_in`] and [`Vault::install`].
    pub async fn change_password(&mut self, new: &Password) -> Result<(), Error> {
        let account = self.account()?;
        let mut vault = self.vault.take().ok_or(Error::SessionEnded)?;
        let new_slot = NewSlot {
            slot: Slot::Password,
            secret: new.as_secret(),
            name: None,
        };
        vault.install(&[new_slot], OtherDevices::Revoke).await?;
        self.keep_local_store(&account, &mut vault, new)?;
        self.vault = Some(vault);
        Ok(())
    }

    /// Begins another command: what the one before has proven says nothing of who gives this one.
    pub fn begin_command(&mut self) {
        self.proven = None;
    }

    /// A vault whose session this very command opened with the password, a moment ago: only there credentials can be
    /// changed. Whoever finds a session open does not know the password.
    ///
    /// # Errors
    /// As [`Self::log_in`].
    pub async fn persons_vault(&mut self) -> Result<&mut Vault, Error> {
        self.check_trust()?;
        let by = self.vault.as_ref().map(|vault| vault.session().by().slot);
        let is_proven = self.proven.is_some_and(|at| at.elapsed() < PROOF);
        if by != Some(Slot::Password) || !is_proven {
            self.log_out().await?;
            self.log_in(false).await?;
        }
        self.vault().await
    }

    /// Deletes the account, and what this device keeps of it; returns the server's last signed checkpoint.
    ///
    /// # Errors
    /// [`Error::Verification`] for a receipt that does not cover what this device has seen, and those of every exchange.
    pub async fn delete_account(&mut self) -> Result<String, Error> {
        let account = self.account()?;
        let vault = self.vault.take().ok_or(Error::SessionEnded)?;
        let receipt = vault.delete().await?;
        self.local = None;
        self.forget_items(&account);
        self.home.forget_account(&account)?;
        Ok(receipt)
    }

    async fn session(
        &mut self,
        connected: Connected,
        account: &AccountName,
        by: LoginCredential<'_>,
    ) -> Result<(Session, DeviceState, Pins), Error> {
        self.session_of(connected, account, by, Restored(false))
            .await
    }

    async fn session_of(
        &mut self,
        connected: Connected,
        account: &AccountName,
        by: LoginCredential<'_>,
        restored: Restored,
    ) -> Result<(Session, DeviceState, Pins), Error> {
        let file = self.pins_file(account);
        let mut pins = file.load()?;
        if let (Some(pins), Restored(true)) = (&mut pins, restored) {
            pins.generations.clear();
            pins.epoch = FIRST_EPOCH;
        }
        let device = self.home.device()?;
        let connected = self.close_registration(connected, pins.as_ref()).await?;
        let Connected { api, hello, .. } = connected;
        let session = Session::open(api, &hello, account, device, by, &mut pins).await?;
        let pins = pins.ok_or_else(|| Error::Failed("no pins after a login".into()))?;
        let memory = DeviceState {
            pins: file,
            index: self.home.index(account),
        };
        Ok((session, memory, pins))
    }

    /// Opens a session with a server that was restored from a backup, see [`Vault::accept_restore`].
    ///
    /// # Errors
    /// As [`Self::log_in`] and [`Vault::accept_restore`].
    pub async fn accept_restore(
        &mut self,
        accept: impl FnOnce(&RestoreLoss) -> Result<(), Error>,
    ) -> Result<RestoreLoss, Error> {
        self.log_out().await?;
        self.trust_again()?;
        let account = self.account()?;
        let connected = self.connect().await?;
        let password = self.source(&account)?.get(account.as_str())?;
        let by = LoginCredential {
            slot: Slot::Password,
            secret: password.as_secret(),
        };
        // The password of before may hold again; the vault log tells.
        let restored = Restored(true);
        let (session, memory, pins) = self.session_of(connected, &account, by, restored).await?;
        let frontend = self.frontend(&account)?;
        let (mut vault, loss) =
            Vault::accept_restore(session, frontend, memory, pins, accept).await?;
        self.keep_local_store(&account, &mut vault, &password)?;
        self.vault = Some(vault);
        Ok(loss)
    }

    fn save_profile(
        &mut self,
        endpoint: &Endpoint,
        trust: &Trust,
        account: &AccountName,
    ) -> Result<(), Error> {
        let mut profile = Profile {
            account: Some(account.as_str().to_owned()),
            ..self.profile.clone()
        };
        if !self.options.embedded {
            profile.server = Some(endpoint.to_string());
            profile.pin = match trust {
                Trust::Pin(pin) => Some(pin.to_string()),
                Trust::CaFile(_) | Trust::System => None,
            };
            profile.ca_file = match trust {
                Trust::CaFile(path) => Some(absolute(path)),
                Trust::Pin(_) | Trust::System => None,
            };
        }
        if profile != self.profile {
            self.home.save_profile(&profile)?;
            self.profile = profile;
        }
        Ok(())
    }

    /// Closes the session, if there is one.
    ///
    /// # Errors
    /// Those of every exchange; the session is over for this device in any case.
    pub async fn log_out(&mut self) -> Result<bool, Error> {
        self.local = None;
        self.own = None;
        match self.vault.take() {
            Some(vault) => Ok(vault.close().await.map(|()| true)?),
            None => Ok(false),
        }
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
