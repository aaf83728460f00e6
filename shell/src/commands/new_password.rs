//! The source of a new password, and the check of its strength.

use std::path::PathBuf;

use clap::Args;
use keyshell_client::keys::password::Password;
use shared::names::AccountName;

use crate::error::{Error, Result};
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
    /// Reads the new password of `account` and mixes in its device key, which does not change. `present` is the password
    /// that is replaced, where the command knows it.
    ///
    /// # Errors
    /// [`Error::usage`] if the password is the present one or weak, or if there is no terminal to ask on.
    pub fn get(
        &self,
        shell: &Shell,
        account: &AccountName,
        present: Option<&Password>,
    ) -> Result<Password> {
        let prompt = shell.context.prompt;
        let source = PasswordSource::new(self.file.as_ref(), self.command.as_ref(), prompt);
        if matches!(source, PasswordSource::Prompt(_)) {
            prompt.require("give --new-password-file or --new-password-command")?;
        }
        let password = source.get_new(account.as_str())?;
        // Not even with `force`: others may know it, and nothing would be replaced.
        if present.is_some_and(|present| present.typed() == password.typed()) {
            let text =
                "the new password is the present one, and nothing was changed: choose another";
            return Err(Error::usage(text));
        }
        check_strength(&password, account.as_str(), self.force)?;
        Ok(shell.account.device.mixed(account, password)?)
    }
}

/// Reads a new password, twice from a prompt, and refuses one that is easy to guess unless `force` is set.
///
/// # Errors
/// As [`NewPassword::get`].
pub fn strong(source: &PasswordSource, account: &str, force: bool) -> Result<Password> {
    let password = source.get_new(account)?;
    check_strength(&password, account, force)?;
    Ok(password)
}

fn check_strength(password: &Password, account: &str, force: bool) -> Result<()> {
    if force {
        return Ok(());
    }
    strength::check(password, account)
}
