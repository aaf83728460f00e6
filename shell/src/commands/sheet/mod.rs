//! The recovery sheet: what to keep on paper.

mod paper;
mod screen;

use std::path::{Path, PathBuf};

use clap::Args;
use keyshell_base::files;
use keyshell_client::account::{Connect as _, Connected};
use keyshell_client::keys::device_key::DeviceKey;
use keyshell_client::keys::recovery::RecoveryCode;
use keyshell_client::transport::tls::Trust;
use serde::Serialize;
use serde_json::json;
use shared::names::AccountName;

use crate::context::Context;
use crate::error::Error;
use crate::output::qr::is_picture;
use crate::prompt::Prompt;
use crate::shell::Shell;

/// What everybody has to hear of it.
const WARNING: &str =
    "Without the password and without this code nobody can ever read the data: keep it on paper.";

// Where the sheet goes. A doc comment would take the place of what is explained of the commands that say so.
#[derive(Debug, Clone, Args)]
pub struct Kept {
    /// Write the recovery sheet to this new file instead of showing it: text, its first line the code; or with a name
    /// that ends in .svg a page to print, with QR codes as well.
    #[arg(long, value_name = "FILE")]
    pub recovery_file: Option<PathBuf>,
    /// Print the code at once, and do not ask for two groups of it to see that it was written down.
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
            server: shell.account.connector.server_name().unwrap_or_default(),
            pin,
            code: code.clone(),
            key: shell.account.device.device_key(account)?,
        })
    }

    /// Writes the sheet to its file, before the code is needed: one that cannot be kept must not come to hold.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::Failed`].
    pub fn keep(&self, context: &Context, kept: &Kept) -> Result<Keeping, Error> {
        if let Some(path) = &kept.recovery_file {
            self.write(path)?;
        } else if context.prompt == Prompt::Person && context.out.is_terminal() {
            context.out.note(
                "a recovery code will be shown once: have paper and pen at hand, or break off and give --recovery-file \
                 (FILE.svg is a page to print)",
            );
        }
        Ok(Keeping {
            file: kept.recovery_file.clone(),
            confirm: !kept.no_confirm,
        })
    }

    fn write(&self, path: &Path) -> Result<(), Error> {
        let content = if is_picture(path) {
            self.page()?
        } else {
            self.text()
        };
        files::create_new(path, content.as_bytes()).map_err(|error| {
            if error.kind() == std::io::ErrorKind::AlreadyExists {
                let text = format!("{} exists already; nothing was done", path.display());
                return Error::Exists(text);
            }
            Error::io(&format!("writing {}", path.display()), &error)
        })
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

    /// The same after an error, where that leaves open whether the code holds: it may be the only one that does. Returns
    /// the error.
    pub fn report_after(&self, context: &Context, sheet: &Sheet, error: Error) -> Error {
        let is_open = matches!(
            error,
            Error::Unreachable(_)
                | Error::SessionEnded
                | Error::WrongPassword(_)
                | Error::Verification(_)
        );
        if !is_open {
            return error;
        }
        match self.report(&context, sheet) {
            Ok(()) => error.with(
                "whether the new recovery code holds is not known: keep it and the old one, of which one does",
            ),
            Err(unseen) => error.with(&format!("the new recovery code was not shown: {unseen}")),
        }
    }

    /// Says where the code is, or shows it.
    ///
    /// # Errors
    /// [`Error::Failed`], [`Error::Interrupted`].
    pub fn report(&self, context: &Context, sheet: &Sheet) -> Result<(), Error> {
        if let Some(path) = &self.file {
            let path = path.display();
            context
                .out
                .note(&format!("recovery code: in {path}. {WARNING}"));
            let object = json!({"account": sheet.account, "recovery_file": path.to_string()});
            return context.out.either(&object, "");
        }
        let is_person = context.prompt == Prompt::Person && context.out.is_terminal();
        if self.confirm && is_person && !context.out.is_json() {
            match sheet.show(&context) {
                // Without a terminal of its own; the code must not be lost for that.
                Err(Error::Usage(_)) => {}
                shown => {
                    shown?;
                    context.out.note(WARNING);
                    return sheet.confirm(&context);
                }
            }
        }
        sheet.print(&context)?;
        context.out.note(WARNING);
        Ok(())
    }
}

impl Sheet {
    fn print(&self, context: &Context) -> Result<(), Error> {
        let text = self.code.text();
        context.note_shown();
        let key = self.key.as_ref().map(DeviceKey::text);
        let key = key.as_ref().map(|key| key.as_str());
        let shown = Shown {
            account: &self.account,
            recovery_code: text.as_str(),
            device_key: key,
        };
        context
            .out
            .either(&shown, &format!("recovery code: {}", text.as_str()))?;
        if let Some(key) = key.filter(|_| !context.out.is_json()) {
            context.out.line(&format!("device key: {key}"))?;
            context.out
                .note("A new device asks for the device key once, besides the password: keep it on the same paper.");
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
