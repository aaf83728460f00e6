//! One run of the shell: who, where, and the session that is open.

mod connect;
mod keyring;
mod keys;
mod rotate;
mod sessions;
mod state;
mod store;

use std::cell::Cell;
use std::io::IsTerminal as _;
use std::time::Instant;

pub use connect::{Connected, Examined};
pub use keys::{KeyChoice, KeyPlace};
use keyshell_client::device::home::{Home, Profile};
use keyshell_client::device::local::LocalStore;
use keyshell_client::device::pins::PinsFile;
use keyshell_client::vault::Vault;
use shared::names::AccountName;
use shared::secret::SecretBytes;

use crate::args::Options;
use crate::embedded::PrivateServer;
use crate::error::Error;
use crate::output::Output;
use crate::password_source::PasswordSource;
use crate::prompt::Prompt;
use crate::repl::resolve::Abbreviations;

/// The account of a private server, where none is named: there is only its owner.
const EMBEDDED_ACCOUNT: &str = "me";

/// What every command works with.
#[derive(Debug)]
pub struct Shell {
    /// Where results go.
    pub out: Output,
    /// Who can be asked.
    pub prompt: Prompt,
    /// Where things are.
    pub home: Home,
    /// Set by `exit`.
    pub leaving: bool,
    /// Whether this run goes on after the session has ended: then it gets a credential of its own, to open the next one.
    pub stays: bool,
    /// Whether nothing comes after this command, so that one that takes long needs no session meanwhile.
    pub is_last: bool,
    /// What names may be abbreviated to; `None` outside the REPL.
    pub abbreviations: Option<Abbreviations>,
    options: Options,
    profile: Profile,
    passwords: PasswordSource,
    key: KeyChoice,
    vault: Option<Vault>,
    /// When the command that runs logged in with the password.
    proven: Option<Instant>,
    /// The secret of this device's own credential, by which it opens a session without the password.
    own: Option<SecretBytes>,
    /// Whether this is the agent itself.
    is_agent: bool,
    local: Option<LocalStore>,
    embedded: Option<PrivateServer>,
    /// Whether the server was out of reach when it was last needed.
    offline: bool,
    /// Whether a value is to be seen on the screen.
    shown: Cell<bool>,
    /// Set by locking, until the REPL has told it: whether a value was to be seen.
    locked: Option<bool>,
}

impl Shell {
    /// Prepares a run; nothing is connected yet.
    ///
    /// # Errors
    /// [`Error::Usage`], [`Error::Failed`] for a profile that cannot be read.
    pub fn new(options: Options) -> Result<Self, Error> {
        let home = Home::new(&options.profile, options.home.as_deref())?;
        let profile = home.load_profile()?;
        Ok(Self::with(options, home, profile))
    }

    /// The same for a run that looks into what is wrong: a profile that cannot be read is none.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub fn lenient(options: Options) -> Result<Self, Error> {
        let home = Home::new(&options.profile, options.home.as_deref())?;
        let profile = home.load_profile().unwrap_or_default();
        Ok(Self::with(options, home, profile))
    }

    fn with(options: Options, home: Home, profile: Profile) -> Self {
        let prompt = if options.non_interactive || !std::io::stdin().is_terminal() {
            Prompt::Nobody
        } else {
            Prompt::Person
        };
        let passwords = match (&options.password_file, &options.password_command) {
            (Some(path), _) => PasswordSource::File(path.clone()),
            (None, Some(command)) => PasswordSource::Command(command.clone()),
            (None, None) => PasswordSource::Prompt(prompt),
        };
        Self {
            out: Output::new(options.json, options.quiet, options.verbose),
            prompt,
            home,
            leaving: false,
            stays: false,
            is_last: false,
            abbreviations: None,
            profile,
            passwords,
            key: KeyChoice::default(),
            options,
            vault: None,
            proven: None,
            own: None,
            is_agent: false,
            local: None,
            embedded: None,
            offline: false,
            shown: Cell::new(false),
            locked: None,
        }
    }

    /// Whether the terminal's clipboard may be used; `None` if nobody was asked yet.
    pub fn terminal_clipboard(&self) -> Option<bool> {
        self.profile.terminal_clipboard
    }

    /// Remembers that.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn set_terminal_clipboard(&mut self, answer: bool) -> Result<(), Error> {
        self.profile.terminal_clipboard = Some(answer);
        Ok(self.home.save_profile(&self.profile)?)
    }

    /// The options of this run.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Where the password comes from.
    pub fn passwords(&self) -> &PasswordSource {
        &self.passwords
    }

    /// The account, if one is known without asking.
    pub fn known_account(&self) -> Option<String> {
        let named = self.options.account.clone();
        let embedded = self.options.embedded.then(|| EMBEDDED_ACCOUNT.to_owned());
        named.or_else(|| self.profile.account.clone()).or(embedded)
    }

    /// The account; asks where none is known.
    ///
    /// # Errors
    /// [`Error::Usage`].
    pub fn account(&mut self) -> Result<AccountName, Error> {
        let name = match self.known_account() {
            Some(name) => name,
            None => self
                .prompt
                .line("Account: ", "name the account with --account NAME")?,
        };
        let account = AccountName::parse(&name)
            .map_err(|error| Error::Usage(format!("`{name}`: {error}")))?;
        self.options.account = Some(name);
        Ok(account)
    }

    /// What this device remembers of an account.
    pub fn pins_file(&self, account: &AccountName) -> PinsFile {
        PinsFile::new(&self.home.pins(account))
    }

    /// Ends the run: closes the session and stops the private server.
    ///
    /// # Errors
    /// [`Error::Verification`]; a session that could not be closed for another reason ends by itself.
    pub async fn leave(&mut self) -> Result<(), Error> {
        let closed = self.log_out().await;
        if let Some(running) = self.embedded.take() {
            running.stop();
        }
        match closed {
            Err(error @ Error::Verification(_)) => {
                self.distrust(&error);
                Err(error)
            }
            Err(error) => {
                self.out
                    .detail(&format!("the session was not closed: {error}"));
                Ok(())
            }
            Ok(_) => Ok(()),
        }
    }
}
