//! One run of the shell: its context and its account.

use std::sync::Arc;

use keyshell_client::account::{Account, Device, Renewal};
use keyshell_client::device::home::{Home, Profile};
use keyshell_client::error::Error as ClientError;
use keyshell_client::frontend::Frontend;
use shared::names::AccountName;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::frontend::Terminal;
use crate::options::Options;
use crate::password_source::PasswordSource;
use crate::server::NamedServer;

/// One run.
#[derive(Debug)]
pub struct Shell {
    /// Options, profile, output and questions.
    pub context: Context,
    /// The session with its renewal, and the data on this device.
    pub account: Account<NamedServer>,
}

impl Shell {
    /// Prepares a run; nothing is connected yet.
    ///
    /// # Errors
    /// [`Error::usage`], [`Error::failed`] for a profile that cannot be read.
    pub fn new(options: Options) -> Result<Self> {
        let home = Home::new(&options.profile, options.home.as_deref())?;
        let profile = home.load_profile()?;
        Ok(Self::with(options, home, profile))
    }

    /// Prepares a run of a diagnostic command: an unreadable profile counts as empty.
    ///
    /// # Errors
    /// [`Error::usage`].
    pub fn lenient(options: Options) -> Result<Self> {
        let home = Home::new(&options.profile, options.home.as_deref())?;
        let profile = home.load_profile().unwrap_or_default();
        Ok(Self::with(options, home, profile))
    }

    fn with(options: Options, home: Home, profile: Profile) -> Self {
        let context = Context::new(options, home, profile);
        let frontend: Arc<dyn Frontend> = Arc::new(Terminal::new(&context));
        let device = Device::new(context.home.clone(), frontend);
        let known = context.known_account();
        let known = known.and_then(|name| AccountName::parse(&name).ok());
        let mut account = Account::new(NamedServer::new(&context), device, known);
        account.renewal = Renewal {
            asks_agent: matches!(context.passwords, PasswordSource::Prompt(_))
                && !context.options().embedded,
            ..Renewal::default()
        };
        Self { context, account }
    }

    /// The account that options or profile name; `None` if the user would have to be asked.
    ///
    /// # Errors
    /// [`Error::usage`] for a name that no account can have.
    pub fn known_account(&mut self) -> Result<Option<AccountName>> {
        let known = self.context.known_account().is_some();
        Ok(known.then(|| self.account.name()).transpose()?)
    }

    /// Wipes all keys; returns whether there were any.
    ///
    /// # Errors
    /// [`Error::is_verification`]; the keys are gone in any case.
    pub async fn lock(&mut self) -> Result<bool> {
        if !self.account.is_unlocked() {
            return Ok(false);
        }
        self.context.note_locked();
        let locked = self.account.lock().await;
        self.noting_distrust(locked)
    }

    /// Wipes all keys of an agent, and ends the lease of the device credential that the agent has handed out; returns
    /// whether the server did that.
    ///
    /// # Errors
    /// As [`Self::lock`].
    pub async fn retire(&mut self) -> Result<bool> {
        let retired = self.account.retire().await;
        self.noting_distrust(retired)
    }

    /// Remembers an answer that failed to verify.
    fn noting_distrust<T>(&mut self, done: Result<T, ClientError>) -> Result<T> {
        let done = done.map_err(Error::from);
        if let Err(error) = &done
            && error.is_verification()
        {
            self.account.distrust(&error.to_string());
        }
        done
    }

    /// Updates the offline mark of the prompt from the result of a command.
    pub fn note_reached<T>(&mut self, done: &Result<T>) {
        let cause = done.as_ref().err().and_then(Error::cause);
        if let Some(ClientError::Unreachable(_)) = cause {
            self.context.is_offline = true;
        } else if self.account.open_vault().is_some() {
            self.context.is_offline = false;
        }
    }

    /// Ends the run: closes the session and stops the private server.
    ///
    /// # Errors
    /// [`Error::is_verification`]; a session that could not be closed for another reason expires.
    pub async fn leave(&mut self) -> Result<()> {
        let closed = self.account.log_out().await;
        self.account.connector.stop();
        match self.noting_distrust(closed) {
            Err(error) if error.is_verification() => Err(error),
            Err(error) => {
                self.context
                    .out
                    .detail(&format!("the session was not closed: {error}"));
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }
}
