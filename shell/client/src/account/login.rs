//! Sessions: opened by the password, by the recovery code or by the device's own credential, and closed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use shared::names::AccountName;
use shared::opaque::Slot;
use shared::vault_log::FIRST_EPOCH;

use crate::account::connect::{Connect, Connected, Purpose};
use crate::account::local_store::LostKey;
use crate::account::state::{Account, FRESH_LOGIN};
use crate::agent::{Agent, PATIENCE};
use crate::device::pins::Pins;
use crate::error::{AgentError, Error, Result};
use crate::keys::password::Password;
use crate::opaque::login::LoginCredential;
use crate::session::Session;
use crate::vault::restore::{NewCredentials, RestoreLoss};
use crate::vault::{DeviceState, Vault};

/// For how long locking waits for the server to close the session: the keys are in memory meanwhile.
const LOCKING: Duration = Duration::from_secs(2);

impl<C: Connect> Account<C> {
    /// The open vault, brought up to date; logs in where there is no session.
    ///
    /// # Errors
    /// [`Error::Distrusted`] after an answer that failed to verify, until an explicit login; those of a login.
    pub async fn vault(&mut self) -> Result<&mut Vault> {
        self.check_trust()?;
        // Taken out meanwhile, so that a session that fails is not used again.
        if let Some(mut vault) = self.vault.take() {
            vault.sync().await?;
            self.vault = Some(vault);
        } else {
            self.ask_agent()?;
            if !self.log_in_by_credential().await? {
                self.log_in(false).await?;
            }
        }
        self.vault.as_mut().ok_or(Error::SessionEnded)
    }

    /// The agent, where the password would have to be typed otherwise.
    pub fn agent(&mut self) -> Option<Agent> {
        self.agent_within(PATIENCE)
    }

    /// The agent, for a caller that waits no longer than this for each answer.
    pub fn agent_within(&mut self, patience: Duration) -> Option<Agent> {
        let is_free = self.vault.is_none() && self.credential.is_none();
        if !is_free || !self.renewal.asks_agent {
            return None;
        }
        let mut agent = Agent::find(&self.device.home)?.within(patience)?;
        // It may be for another account or server of the same profile.
        let status = agent.status()?;
        let is_ours = self.name.as_ref().map(AccountName::as_str) == Some(&status.account);
        (is_ours && status.server == self.connector.server_name()).then_some(agent)
    }

    /// Takes this device's own credential from the agent, if one runs that gives it away.
    fn ask_agent(&mut self) -> Result<()> {
        if let Some(mut agent) = self.agent() {
            self.credential = agent.credential()?;
            if self.credential.is_none() && !self.device.frontend.is_person() {
                return Err(AgentError::NoReveal.into());
            }
        }
        Ok(())
    }

    /// The password as OPAQUE takes it.
    pub(super) fn password(&self, account: &AccountName) -> Result<Password> {
        // The key first: without it the password would be typed in vain.
        let key = self.device.device_key(account)?;
        let password = self.device.frontend.password(account)?;
        Ok(password.with_key(key.as_ref()))
    }

    /// Connects to open a session by the password or by this device's own credential.
    ///
    /// # Errors
    /// As [`Connect::connect`], [`Error::Failed`] for pins that cannot be read.
    pub async fn connect(&mut self) -> Result<Connected> {
        let pins = self.pins()?;
        self.connector.connect(Purpose::Login(pins.as_ref())).await
    }

    /// Connects to open a session by the recovery code.
    ///
    /// # Errors
    /// As [`Self::connect`]; [`Error::CodeNeeded`].
    pub async fn connect_to_recover(&mut self) -> Result<Connected> {
        self.check_code()?;
        let pins = self.pins()?;
        let purpose = Purpose::Recover(pins.as_ref());
        self.connector.connect(purpose).await
    }

    fn pins(&mut self) -> Result<Option<Pins>> {
        let account = self.name()?;
        self.device.pins_file(&account).load()
    }

    /// Opens a session by this device's own credential; returns whether that was possible.
    async fn log_in_by_credential(&mut self) -> Result<bool> {
        let Some(secret) = self.credential.clone() else {
            return Ok(false);
        };
        let account = self.name()?;
        let connected = self.connect().await?;
        let slot = Slot::Device(self.device.home.device()?.id());
        let by = LoginCredential::new(slot, &secret);
        let mut vault = match self.open(connected, &account, by).await {
            Err(Error::LoginRefused) => {
                self.credential = None;
                self.device.frontend.notice(
                    "this device's own credential opens no session any more: it was revoked, or another keyshell on \
                     this device has replaced it",
                );
                return Ok(false);
            }
            opened => opened?,
        };
        vault.keep_device_secret(secret);
        self.vault = Some(vault);
        if self.renewal.makes_credential {
            self.device.frontend.note("the session was opened again");
        }
        Ok(true)
    }

    /// Logs in with the password; `explicit` where the owner asked for exactly that, which trusts the server again and
    /// remembers it. Returns the password, which has proven right.
    ///
    /// # Errors
    /// [`Error::LoginRefused`], [`Error::Verification`], and those of every exchange.
    pub async fn log_in(&mut self, explicit: bool) -> Result<Password> {
        self.connector.check_known()?;
        if explicit {
            self.check_code()?;
        }
        let account = self.name()?;
        let connected = self.connect().await?;
        let password = self.password(&account)?;
        self.log_in_with(connected, &password, explicit).await?;
        if explicit {
            self.trust_again()?;
        }
        Ok(password)
    }

    /// Logs in with the password, whatever session there is, which is closed before: a wrong guess ends what was left open.
    /// Returns the password.
    ///
    /// # Errors
    /// As [`Self::log_in`].
    pub async fn log_in_again(&mut self) -> Result<Password> {
        self.check_trust()?;
        let was_open = self.log_out().await?;
        let password = self.log_in(false).await;
        if was_open && password.is_err() {
            self.device.frontend.notice(
                "the session that was open is closed; the next command asks for the password",
            );
        }
        password
    }

    /// Logs in with a password that is at hand.
    ///
    /// # Errors
    /// As [`Self::log_in`].
    pub async fn log_in_with(
        &mut self,
        connected: Connected,
        password: &Password,
        explicit: bool,
    ) -> Result<()> {
        let account = self.name()?;
        let trust = connected.trust.clone();
        let by = LoginCredential::password(password);
        let opened = self.open(connected, &account, by).await;
        let mut vault = opened.map_err(|error| self.device.explain_refusal(&account, error))?;
        let lost = LostKey {
            password: None,
            asks: explicit,
        };
        self.device
            .follow_session(&account, &mut vault, password, lost)?;
        if self.renewal.makes_credential {
            self.enrol_device(&mut vault).await?;
        }
        let endpoint = vault.session().endpoint().clone();
        self.vault = Some(vault);
        self.password_proven = Some(Instant::now());
        self.connector
            .remember(account.as_str(), &endpoint, &trust, explicit)
    }

    /// Without a credential of its own a run only asks for the password more often.
    async fn enrol_device(&mut self, vault: &mut Vault) -> Result<()> {
        // A second credential of this device would end the agent's.
        if let Some(mut agent) = self.agent() {
            self.credential = agent.credential()?;
            if let Some(secret) = &self.credential {
                vault.keep_device_secret(secret.clone());
            }
            return Ok(());
        }
        match vault.enrol_device(self.renewal.lease).await {
            Err(error) if error.verification().is_some() => Err(error),
            Err(error) => {
                self.device.frontend.detail(&format!(
                    "this device has no credential of its own: {error}"
                ));
                Ok(())
            }
            Ok(()) => {
                self.credential = vault.device_secret().cloned();
                // The secret that an agent had is replaced.
                self.note_retired()
            }
        }
    }

    /// A vault whose session this command opened with the password, a moment ago: only there credentials can be
    /// changed. A person who finds a session open may not know the password.
    ///
    /// # Errors
    /// As [`Self::log_in`].
    pub async fn freshly_authenticated_vault(&mut self) -> Result<&mut Vault> {
        self.check_trust()?;
        let by = self.vault.as_ref().map(|vault| vault.session().by().slot);
        let is_fresh = self
            .password_proven
            .is_some_and(|at| at.elapsed() < FRESH_LOGIN);
        if by != Some(Slot::Password) || !is_fresh {
            self.log_in_again().await?;
        }
        self.vault().await
    }

    pub(super) async fn open(
        &mut self,
        connected: Connected,
        account: &AccountName,
        by: LoginCredential<'_>,
    ) -> Result<Vault> {
        let pins = self.device.pins_file(account).load()?;
        let (session, state, pins) = self.session(connected, account, by, pins).await?;
        let frontend = Arc::clone(&self.device.frontend);
        let mut vault = Vault::open(session, frontend, state, pins).await?;
        vault.purge_expired().await?;
        Ok(vault)
    }

    async fn session(
        &mut self,
        connected: Connected,
        account: &AccountName,
        by: LoginCredential<'_>,
        mut pins: Option<Pins>,
    ) -> Result<(Session, DeviceState, Pins)> {
        let device = self.device.home.device()?;
        let state = DeviceState {
            pins: self.device.pins_file(account),
            index: self.device.home.index(account),
            key: self.device.device_key(account)?,
            expected: self.device.expected.take(),
        };
        let Connected { api, hello, .. } = connected;
        let session = Session::open(api, &hello, account, device, by, &mut pins).await?;
        let pins = pins.ok_or_else(|| Error::Failed("no pins after a login".into()))?;
        Ok((session, state, pins))
    }

    /// Opens a session with a server that was restored from a backup, and finds out what is lost, see
    /// [`Vault::examine_restore`]. Nothing is written until [`Self::acknowledge_restore`].
    ///
    /// # Errors
    /// As [`Self::log_in`] and [`Vault::examine_restore`].
    pub async fn examine_restore(&mut self) -> Result<(Vault, RestoreLoss, Password)> {
        self.log_out().await?;
        let account = self.name()?;
        let connected = self.connect().await?;
        let password = self.password(&account)?;
        let by = LoginCredential::password(&password);
        // The password of before may hold again; the vault log tells.
        let mut pins = self.pins()?;
        if let Some(pins) = &mut pins {
            pins.credentials.clear();
            pins.epoch = FIRST_EPOCH;
        }
        let (session, state, pins) = self.session(connected, &account, by, pins).await?;
        let frontend = Arc::clone(&self.device.frontend);
        let (vault, loss) = Vault::examine_restore(session, frontend, state, pins).await?;
        Ok((vault, loss, password))
    }

    /// Acknowledges the loss, see [`Vault::acknowledge_restore`], and trusts the server again.
    /// [`Self::follow_restore`] does the rest.
    ///
    /// # Errors
    /// As [`Vault::acknowledge_restore`].
    pub async fn acknowledge_restore(
        &mut self,
        mut vault: Vault,
        loss: &RestoreLoss,
        new: &NewCredentials,
    ) -> Result<()> {
        vault.acknowledge_restore(loss, new).await?;
        self.vault = Some(vault);
        self.trust_again()
    }

    /// Lets the local store follow an acknowledged loss. It may have been written under an account key that the server has
    /// lost; then it opens with the new password or with the one of before, or the person is asked for another one.
    ///
    /// # Errors
    /// [`Error::SessionEnded`] without a session, [`Error::Failed`].
    pub fn follow_restore(&mut self, before: &Password, new: Option<&Password>) -> Result<()> {
        let account = self.name()?;
        let lost = LostKey {
            password: new.map(|_| before),
            asks: true,
        };
        let vault = self.vault.as_mut().ok_or(Error::SessionEnded)?;
        self.device
            .follow_session(&account, vault, new.unwrap_or(before), lost)
    }

    /// Closes the session; returns whether there was one.
    ///
    /// # Errors
    /// Those of every exchange; the session is over for this device in any case.
    pub async fn log_out(&mut self) -> Result<bool> {
        self.device.local = None;
        self.credential = None;
        match self.vault.take() {
            Some(vault) => Box::pin(self.farewell(vault)).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// Wipes all keys, and closes the session if the server answers soon; returns whether there were any.
    ///
    /// # Errors
    /// [`Error::Verification`]; the keys are gone in any case.
    pub async fn lock(&mut self) -> Result<bool> {
        if !self.is_unlocked() {
            return Ok(false);
        }
        self.device.local = None;
        self.credential = None;
        let Some(vault) = self.vault.take() else {
            return Ok(true);
        };
        match tokio::time::timeout(LOCKING, Box::pin(self.farewell(vault))).await {
            Ok(Err(error)) if error.verification().is_some() => Err(error),
            // Else the session expires.
            _ => Ok(true),
        }
    }

    /// Locks as [`Self::lock`], and ends the lease of this device's credential before, so that copies of it which were
    /// given away open nothing any more; returns whether the server did that. It is not waited for long.
    ///
    /// # Errors
    /// As [`Self::lock`].
    pub async fn retire(&mut self) -> Result<bool> {
        if !self.is_unlocked() {
            return Ok(false);
        }
        let retired = tokio::time::timeout(LOCKING, self.retire_credential()).await;
        match &retired {
            // Before the farewell, which would else end a credential by which another program has replaced this one.
            Ok(Ok(())) => self.note_retired()?,
            // A server that does not answer, or lies, gets no logout.
            _ => self.vault = None,
        }
        self.lock().await?;
        match retired {
            Ok(Err(error)) if error.verification().is_some() => Err(error),
            retired => Ok(matches!(retired, Ok(Ok(())))),
        }
    }

    /// Also where another program has replaced the secret since: it may be a copy's holder.
    async fn retire_credential(&mut self) -> Result<()> {
        self.vault().await?;
        let vault = self.vault.take().ok_or(Error::SessionEnded)?;
        vault.retire().await
    }
}
