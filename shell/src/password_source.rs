//! Source of the account's password: a file, a command, or the user at the terminal.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use keyshell_base::files;
use keyshell_client::keys::password::Password;
use shared::secret::SecretBytes;

use crate::error::{Error, Result};
use crate::prompt::Prompt;

/// Maximum bytes that are read from a file or from the output of a command; only the first line is used.
const MAX_SOURCE: u64 = 64 * 1024;

/// Source of the account's password.
#[derive(Debug, Clone)]
pub enum PasswordSource {
    /// The first line of a file.
    File(PathBuf),
    /// The first line of a command's output.
    Command(String),
    /// The user at the terminal.
    Prompt(Prompt),
}

impl PasswordSource {
    /// The source that the options name; the user, where they name none.
    pub fn new(file: Option<&PathBuf>, command: Option<&String>, prompt: Prompt) -> Self {
        let named = file.cloned().map(Self::File);
        let named = named.or_else(|| command.cloned().map(Self::Command));
        named.unwrap_or(Self::Prompt(prompt))
    }

    /// Gets the password of an account.
    ///
    /// # Errors
    /// [`Error::usage`] if the user would have to be asked and the run is not interactive; [`Error::failed`] for a file
    /// or command.
    pub fn get(&self, account: &str) -> Result<Password> {
        let content = match self {
            Self::Prompt(prompt) => {
                let typed = prompt.hidden(&format!("Password of {account}: "))?;
                return Ok(Password::parse(&typed)?);
            }
            Self::File(path) => {
                let doing = format!("reading the password from {}", path.display());
                files::read_text(path, MAX_SOURCE).map_err(Error::io(&doing))?
            }
            Self::Command(command) => output_of(command)?,
        };
        let text = std::str::from_utf8(content.expose())
            .map_err(|_| Error::failed("the password is not UTF-8"))?;
        Ok(Password::parse(text.lines().next().unwrap_or_default())?)
    }

    /// Gets a new password; the user types it twice.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn get_new(&self, account: &str) -> Result<Password> {
        let Self::Prompt(prompt) = self else {
            return self.get(account);
        };
        let first = Password::parse(&prompt.hidden(&format!("New password of {account}: "))?)?;
        let second = Password::parse(&prompt.hidden("The same again: ")?)?;
        if first == second {
            Ok(first)
        } else {
            Err(Error::usage("the two passwords differ; try again"))
        }
    }
}

fn output_of(command: &str) -> Result<SecretBytes> {
    let failed = Error::io("running the password command");
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stderr(Stdio::inherit())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(&failed)?;
    let printed = child
        .stdout
        .take()
        .map(|stdout| files::read_all(stdout, MAX_SOURCE));
    let status = child.wait().map_err(&failed)?;
    if !status.success() {
        let text = format!("the password command failed: {status}");
        return Err(Error::failed(text));
    }
    printed
        .transpose()
        .map_err(&failed)?
        .ok_or_else(|| Error::failed("no output"))
}
