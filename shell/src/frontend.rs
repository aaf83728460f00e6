//! The client library's `Frontend` at a terminal.

use std::sync::Arc;

use keyshell_client::device::keyring;
use keyshell_client::error::Error;
use keyshell_client::frontend::{Frontend, Progress};
use keyshell_client::keys::password::Password;
use shared::names::AccountName;

use crate::context::{Context, Saved};
use crate::output::Output;
use crate::password_source::PasswordSource;
use crate::progress;
use crate::prompt::Prompt;

const QUESTION: &str = "This desktop has a keyring. With a secret in it, a stolen copy of the local store is not enough \
                        to guess the password;\nwithout the keyring the store then opens only while the server can \
                        be reached. (`keyring off` removes the secret.)\nKeep one there?";

/// Implements [`Frontend`]: takes answers from the options or from the user, and prints notices and progress on standard
/// error.
#[derive(Debug)]
pub struct Terminal {
    passwords: PasswordSource,
    account: Option<String>,
    out: Output,
    prompt: Prompt,
    profile: Arc<Saved>,
}

impl Terminal {
    /// The frontend of a run.
    pub fn new(context: &Context) -> Self {
        Self {
            passwords: context.passwords.clone(),
            account: context.known_account(),
            out: context.out,
            prompt: context.prompt,
            profile: Arc::clone(&context.profile),
        }
    }
}

impl Frontend for Terminal {
    fn account_name(&self) -> Result<AccountName, Error> {
        let name = match &self.account {
            Some(name) => name.clone(),
            None => self
                .prompt
                .line("Account: ", "name the account with --account NAME")?,
        };
        AccountName::parse(&name).map_err(|error| Error::Usage(format!("`{name}`: {error}")))
    }

    fn password(&self, account: &AccountName) -> Result<Password, Error> {
        Ok(self.passwords.get(account.as_str())?)
    }

    fn store_password(&self, account: &AccountName) -> Result<Option<Password>, Error> {
        if !self.is_person() {
            return Ok(None);
        }
        self.out.say(
            "the local store was written under an account key that the server does not have any more; it opens with the \
             password of that time",
        );
        let question =
            format!("Password of the local store of {account} (Enter leaves it closed): ");
        let typed = self.prompt.hidden(&question)?;
        if typed.is_empty() {
            return Ok(None);
        }
        Password::parse(&typed).map(Some)
    }

    fn notice(&self, text: &str) {
        self.out.say(text);
    }

    fn note(&self, text: &str) {
        self.out.note(text);
    }

    fn detail(&self, text: &str) {
        self.out.detail(text);
    }

    fn is_person(&self) -> bool {
        self.prompt.is_interactive
    }

    fn wants_keyring(&self) -> bool {
        if let Some(answer) = self.profile.get().keyring {
            return answer;
        }
        if !self.is_person() || keyring::look().is_err() {
            return false;
        }
        // Without an answer the command continues without the keyring, and the question is asked again another time.
        let instead = "give `keyring on` or `keyring off`";
        let Ok(answer) = self.prompt.confirm(QUESTION, instead) else {
            return false;
        };
        let saved = self
            .profile
            .change(|profile| profile.keyring = Some(answer));
        if let Err(error) = saved {
            self.out.say(&error.to_string());
        }
        answer
    }

    fn progress(&self, doing: &'static str, total: u64) -> Box<dyn Progress> {
        Box::new(progress::Progress::new(doing, total))
    }
}
