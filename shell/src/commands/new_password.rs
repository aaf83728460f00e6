//! The source of a new password, and the check of its strength.

use std::path::PathBuf;

use clap::Args;
use keyshell_client::keys::password::Password;
use shared::names::AccountName;

use crate::error::Result;
use crate::password_source::PasswordSource;
use crate::shell::Shell;
use crate::strength;

// Options of the commands that take a new password besides the present one. A doc comment would replace the help text
// of the commands that flatten them.
#[derive(Debug, Clone, Args)]
pub struct NewPassword {
    /// Read the new password from the first line of this file.
    #[arg(
        long = "new-password-file",
        id = "new-password-file",
        value_name = "FILE"
    )]
    file: Option<PathBuf>,
    /// Read the new password from the first line that this command prints.
    #[arg(
        long = "new-password-command",
        id = "new-password-command",
        value_name = "CMD",
        conflicts_with = "new-password-file"
    )]
    command: Option<String>,
    /// Accept the new password even if it is easy to guess.
    #[arg(long)]
    force: bool,
}

impl NewPassword {
    /// Reads the new password of `account` and mixes in its device key, which does not change.
    ///
    /// # Errors
    /// [`Error::usage`](crate::error::Error::usage) if the password is weak, or if there is no terminal to ask on.
    pub fn get(&self, shell: &Shell, account: &AccountName) -> Result<Password> {
        let prompt = shell.context.prompt;
        let source = PasswordSource::new(self.file.as_ref(), self.command.as_ref(), prompt);
        if matches!(source, PasswordSource::Prompt(_)) {
            prompt.require("give --new-password-file or --new-password-command")?;
        }
        let password = strong(&source, account.as_str(), self.force)?;
        Ok(shell.account.device.mixed(account, password)?)
    }
}

/// Reads a new password, twice from a prompt, and refuses one that is easy to guess unless `force` is set.
///
/// # Errors
/// As [`NewPassword::get`].
pub fn strong(source: &PasswordSource, account: &str, force: bool) -> Result<Password> {
    let password = source.get_new(account)?;
    if !force {
        strength::check(&password, account)?;
    }
    Ok(password)
}
