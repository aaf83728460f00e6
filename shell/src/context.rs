//! What one run knows: its options, the profile, and where results, questions and notices go.

use std::cell::Cell;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};

use keyshell_client::device::home::{Home, Profile};

use crate::abbreviations::Abbreviations;
use crate::error::Error;
use crate::options::Options;
use crate::output::Output;
use crate::password_source::PasswordSource;
use crate::prompt::Prompt;

/// What one run knows.
#[derive(Debug)]
pub struct Context {
    /// Where results go.
    pub out: Output,
    /// Who can be asked.
    pub prompt: Prompt,
    /// The folders of the profile.
    pub home: Home,
    /// What the profile remembers.
    pub profile: Arc<Saved>,
    /// Where the password comes from.
    pub passwords: PasswordSource,
    /// What names may be abbreviated to; `None` outside the REPL.
    pub abbreviations: Option<Abbreviations>,
    /// Set by `exit`.
    pub leaving: bool,
    /// Whether this is the last command of the run, so that a long one needs no session meanwhile.
    pub is_last: bool,
    /// Whether the server was out of reach when it was last needed.
    pub is_offline: bool,
    options: Options,
    /// Whether a value is to be seen on the screen.
    shown: Cell<bool>,
    /// Set by locking, until the REPL has taken it: whether a value was to be seen.
    locked: Option<bool>,
}

impl Context {
    /// What these options say; the folders are `home`, and `profile` is what they remember.
    pub fn new(options: Options, home: Home, profile: Profile) -> Self {
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
            profile: Arc::new(Saved::new(home.clone(), profile)),
            home,
            passwords,
            abbreviations: None,
            leaving: false,
            is_last: false,
            is_offline: false,
            options,
            shown: Cell::new(false),
            locked: None,
        }
    }

    /// The options of this run.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The account, if one is known without asking.
    pub fn known_account(&self) -> Option<String> {
        self.options.known_account(&self.profile.get())
    }

    /// Notes that a value is on the screen.
    pub fn note_shown(&self) {
        self.shown.set(true);
    }

    /// Notes that keys were wiped.
    pub fn note_locked(&mut self) {
        if let Some(known) = &mut self.abbreviations {
            known.forget();
        }
        self.locked = Some(self.shown.take());
    }

    /// Whether keys were wiped since the last call, and then whether a value was to be seen.
    pub fn take_locked(&mut self) -> Option<bool> {
        self.locked.take()
    }
}

/// What the profile remembers, on the disk as well.
#[derive(Debug)]
pub struct Saved {
    home: Home,
    profile: Mutex<Profile>,
}

impl Saved {
    fn new(home: Home, profile: Profile) -> Self {
        Self {
            home,
            profile: Mutex::new(profile),
        }
    }

    /// What is remembered now.
    pub fn get(&self) -> Profile {
        let profile = self.profile.lock();
        profile.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes it, and writes it where that changes anything.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn change(&self, change: impl FnOnce(&mut Profile)) -> Result<(), Error> {
        let mut profile = self.profile.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = profile.clone();
        change(&mut changed);
        if changed != *profile {
            self.home.save_profile(&changed)?;
            *profile = changed;
        }
        Ok(())
    }
}
