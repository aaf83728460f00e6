//! The recovery sheet: what to keep on paper.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use serde_json::json;
use shared::names::AccountName;
use zeroize::Zeroizing;

use crate::client::tls::Trust;
use crate::device_key::{DeviceKey, ON_SHEET};
use crate::error::Error;
use crate::files;
use crate::recovery::RecoveryCode;
use crate::shell::{Connected, Shell};

// Where the sheet goes. A doc comment would take the place of what is explained of the commands that say so.
#[derive(Debug, Clone, Args)]
pub struct Kept {
    /// Write the recovery sheet to this new file instead of showing it; its first line is the code.
    #[arg(long, value_name = "FILE")]
    pub recovery_file: Option<PathBuf>,
    /// Do not ask for two groups of the code, to see that it was written down.
    #[arg(long)]
    pub no_confirm: bool,
}

/// What is on it.
#[derive(Debug)]
pub struct Sheet {
    account: String,
    server: String,
    pin: Option<String>,
    code: RecoveryCode,
    key: Option<DeviceKey>,
}

/// A sheet that is in a file, or will be shown.
#[derive(Debug)]
pub struct Keeping {
    file: Option<PathBuf>,
    confirm: bool,
}

impl Sheet {
    /// The sheet of an account.
    ///
    /// # Errors
    /// [`Error::Failed`] for a damaged file of its device key.
    pub fn new(
        shell: &Shell,
        connected: &Connected,
        account: &AccountName,
        code: &RecoveryCode,
    ) -> Result<Self, Error> {
        let pin = match &connected.trust {
            Trust::Pin(pin) => Some(pin.to_string()),
            Trust::CaFile(_) | Trust::System => None,
        };
        Ok(Self {
            account: account.as_str().to_owned(),
            server: shell.server_name().unwrap_or_default(),
            pin,
            code: code.clone(),
            key: shell.device_key(account)?,
        })
    }

    /// Writes the sheet to its file, before the code is needed: one that cannot be kept must not come to hold.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::Failed`].
    pub fn keep(&self, shell: &Shell, kept: &Kept) -> Result<Keeping, Error> {
        if let Some(path) = &kept.recovery_file {
            self.write(path)?;
        } else if shell.prompt == crate::prompt::Prompt::Person && shell.out.is_terminal() {
            shell.out.note(
                "a recovery code will be shown once: have paper and pen at hand, or break off and give --recovery-file",
            );
        }
        Ok(Keeping {
            file: kept.recovery_file.clone(),
            confirm: !kept.no_confirm,
        })
    }

    fn write(&self, path: &Path) -> Result<(), Error> {
        files::create_new(path, self.text().as_bytes()).map_err(|error| {
            if error.kind() == std::io::ErrorKind::AlreadyExists {
                let text = format!("{} exists already; nothing was done", path.display());
                return Error::Exists(text);
            }
            Error::io(&format!("writing {}", path.display()), &error)
        })
    }

    fn text(&self) -> Zeroizing<String> {
        let pin = self
            .pin
            .as_ref()
            .map_or_else(String::new, |pin| format!("server key      {pin}\n"));
        let mut text = Zeroizing::new(String::with_capacity(1024));
        text.push_str(&self.code.text());
        // Writing to a text does not fail.
        let _ = write!(
            text,
            "\n\nkeyshell recovery sheet: keep it on paper, and nowhere else\n\naccount         {}\nserver          \
             {}\n{pin}",
            self.account, self.server
        );
        if let Some(key) = &self.key {
            let _ = writeln!(
                text,
                "{ON_SHEET}      {}\n\nThe device key goes with the password: a new device asks for it once (`keyshell -c \
                 'login --with-key'`).",
                key.text().as_str()
            );
        }
        text.push_str(
            "\nThe first line is the recovery code. With it, `keyshell -c recover` sets a new password, on any \
             device.\nWhoever has it can do that. Without it and without the password nobody can ever read the data.\n",
        );
        text
    }
}

impl Keeping {
    /// Removes the file: its code holds nowhere.
    pub fn take_back(&self) {
        if let Some(path) = &self.file {
            // Ours, and a code for nothing.
            let _ = std::fs::remove_file(path);
        }
    }

    /// Says where the code is, or shows it.
    ///
    /// # Errors
    /// [`Error::Failed`], [`Error::Interrupted`].
    pub fn report(&self, shell: &Shell, sheet: &Sheet) -> Result<(), Error> {
        let warning = "Without the password and without this code nobody can ever read the data: keep it on paper.";
        if let Some(path) = &self.file {
            let path = path.display();
            shell
                .out
                .note(&format!("recovery code: in {path}. {warning}"));
            let object = json!({"account": sheet.account, "recovery_file": path.to_string()});
            return shell.out.either(&object, "");
        }
        let text = sheet.code.text();
        shell.note_shown();
        let key = sheet.key.as_ref().map(DeviceKey::text);
        let key = key.as_ref().map(|key| key.as_str());
        let shown = Shown {
            account: &sheet.account,
            recovery_code: text.as_str(),
            device_key: key,
        };
        shell
            .out
            .either(&shown, &format!("recovery code: {}", text.as_str()))?;
        if let Some(key) = key.filter(|_| !shell.out.is_json()) {
            shell.out.line(&format!("device key: {key}"))?;
            shell
                .out
                .note("A new device asks for the device key once, besides the password: keep it on the same paper.");
        }
        shell.out.note(warning);
        if self.confirm {
            confirm(shell, &sheet.code)?;
        }
        Ok(())
    }
}

/// The result for programs.
#[derive(Serialize)]
struct Shown<'a> {
    account: &'a str,
    recovery_code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_key: Option<&'a str>,
}

/// Asks for two groups of the code, until they are right: a sheet that was never written is found out now, not later.
fn confirm(shell: &Shell, code: &RecoveryCode) -> Result<(), Error> {
    if shell.prompt == crate::prompt::Prompt::Nobody || !shell.out.is_terminal() {
        return Ok(());
    }
    for number in RecoveryCode::two_groups() {
        loop {
            let question = format!("Group {} of the code, from your paper: ", number + 1);
            let typed = Zeroizing::new(shell.prompt.line(&question, "give --no-confirm")?);
            if code.is_group(number, &typed) {
                break;
            }
            shell.out.say(
                "that is not it; look again (Ctrl-C breaks off, and the code holds all the same)",
            );
        }
    }
    Ok(())
}
