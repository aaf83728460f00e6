//! The context of a run: options, profile, output, prompt and password source.

use std::cell::Cell;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, PoisonError};

use keyshell_client::device::home::{Home, Profile};

use crate::abbreviations::Abbreviations;
use crate::error::Result;
use crate::options::Options;
use crate::output::Output;
use crate::password_source::PasswordSource;
use crate::prompt::Prompt;

/// The context of a run.
#[derive(Debug)]
pub struct Context {
    /// Output of results and notices.
    pub out: Output,
    /// Whether questions can be asked.
    pub prompt: Prompt,
    /// The folders of the profile.
    pub home: Home,
    /// The saved profile.
    pub profile: Arc<Saved>,
    /// Where the password comes from.
    pub passwords: PasswordSource,
    /// The names of the last `ls`, for abbreviations; `None` outside the REPL.
    pub abbreviations: Option<Abbreviations>,
    /// Set by `exit`.
    pub leaving: bool,
    /// Whether this is the last command of the run; a long one then need not keep the session open.
    pub is_last: bool,
    /// Whether the last connection to the server failed.
    pub is_offline: bool,
    options: Options,
    /// Whether a value is visible on the screen.
    shown: Cell<bool>,
    /// Set by a lock until [`Self::take_locked`]: whether a value was visible.
    locked: Option<bool>,
}

impl Context {
    /// The context for these options; `profile` was loaded from `home`.
    pub fn new(options: Options, home: Home, profile: Profile) -> Self {
        let is_interactive = !options.non_interactive && std::io::stdin().is_terminal();
        let prompt = Prompt { is_interactive };
        let (file, command) = (&options.password_file, &options.password_command);
        let passwords = PasswordSource::new(file.as_ref(), command.as_ref(), prompt);
        Self {
            out: Output::new(options.json, options.quiet, options.verbose),
            prompt,
            profile: Arc::new(Saved {
                home: home.clone(),
                profile: Mutex::new(profile),
            }),
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

    /// The account that options or profile name; `None` if the user would have to be asked.
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

    /// After keys were wiped since the last call: whether a value was visible then.
    pub fn take_locked(&mut self) -> Option<bool> {
        self.locked.take()
    }
}

/// The profile, in memory and on disk.
#[derive(Debug)]
pub struct Saved {
    home: Home,
    profile: Mutex<Profile>,
}

impl Saved {
    /// A copy of the profile.
    pub fn get(&self) -> Profile {
        let profile = self.profile.lock();
        profile.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the profile, and writes it to disk if it differs.
    ///
    /// # Errors
    /// [`Error::failed`](crate::error::Error::failed) if it cannot be written; the profile in memory is then unchanged.
    pub fn change(&self, change: impl FnOnce(&mut Profile)) -> Result<()> {
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
