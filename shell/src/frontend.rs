//! What the client library asks and reports, at a terminal.

use keyshell_client::error::Error;
use keyshell_client::frontend::{Frontend, Progress};
use keyshell_client::keys::password::Password;
use shared::names::AccountName;

use crate::output::Output;
use crate::password_source::PasswordSource;
use crate::progress;

/// The program's side of [`Frontend`]: passwords from where the options say, notices and progress on standard error.
#[derive(Debug)]
pub struct Terminal {
    /// Where the password comes from.
    pub passwords: PasswordSource,
    /// Where notices go.
    pub out: Output,
}

impl Frontend for Terminal {
    fn password(&self, account: &AccountName) -> Result<Password, Error> {
        Ok(self.passwords.get(account.as_str())?)
    }

    fn notice(&self, text: &str) {
        self.out.say(text);
    }

    fn progress(&self, doing: &'static str, total: u64) -> Box<dyn Progress> {
        Box::new(progress::Progress::new(doing, total))
    }
}

impl Progress for progress::Progress {
    fn reach(&mut self, done: u64, total: u64) {
        Self::reach(self, done, total);
    }
}
