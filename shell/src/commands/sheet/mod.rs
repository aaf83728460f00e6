//! The recovery sheet: the recovery code, account, server and device key, to be kept on paper.

mod paper;
mod screen;

use std::path::{Path, PathBuf};

use clap::Args;
use keyshell_client::account::{Connect as _, Connected};
use keyshell_client::error::Error as ClientError;
use keyshell_client::keys::anchor::Anchor;
use keyshell_client::keys::device_key::DeviceKey;
use keyshell_client::keys::recovery::RecoveryCode;
use keyshell_client::transport::tls::Trust;
use serde::Serialize;
use serde_json::json;
use shared::names::AccountName;

use crate::commands::value;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::output::qr::is_picture;
use crate::shell::Shell;

/// The warning after every new recovery code.
const WARNING: &str = "Without the password and without this code, the data cannot be decrypted: keep the code on paper.";

// The options for the recovery sheet. A doc comment would replace the help text of the commands that flatten them.
#[derive(Debug, Clone, Args)]
pub struct SheetOptions {
    /// Write the recovery sheet to this new file instead of showing it: as text whose first line is the code, or, if
    /// the file name ends in .svg, as a page to print with QR codes.
    #[arg(long, value_name = "FILE")]
    pub recovery_file: Option<PathBuf>,
    /// Print the code immediately, and do not ask for two groups of it as proof that it was written down.
    #[arg(long)]
    pub no_confirm: bool,
}

/// The content of the recovery sheet.
#[derive(Debug)]
pub struct Sheet {
    account: String,
    server: String,
    pin: Option<String>,
    code: RecoveryCode,
    key: Option<DeviceKey>,
    /// The state of the account when the sheet was made.
    anchor: Option<Anchor>,
}

/// Where the sheet is kept: in a file, or on paper after it is shown.
#[derive(Debug)]
pub struct KeptSheet {
    file: Option<PathBuf>,
    confirm: bool,
}

impl Sheet {
    /// The recovery sheet of an account with a new recovery code.
    ///
    /// # Errors
    /// [`Error::failed`] if the file of the account's device key is damaged.
    pub fn new(
        shell: &Shell,
        connected: &Connected,
        account: &AccountName,
        code: &RecoveryCode,
        anchor: Option<Anchor>,
    ) -> Result<Self> {
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
            anchor,
        })
    }

    /// Writes the sheet to its file before the code takes effect, so that a code that cannot be kept never takes
    /// effect.
    ///
    /// # Errors
    /// [`Error::exists`], [`Error::failed`].
    pub fn keep(&self, context: &Context, options: &SheetOptions) -> Result<KeptSheet> {
        if let Some(path) = &options.recovery_file {
            self.write(path)?;
        } else if context.prompt.is_interactive && context.out.is_terminal() {
            context.out.note(
                "a recovery code will be shown once: have pen and paper ready, or press Ctrl-C and give --recovery-file FILE \
                (FILE.svg is a page to print)",
            );
        }
        Ok(KeptSheet {
            file: options.recovery_file.clone(),
            confirm: !options.no_confirm,
        })
    }

    fn write(&self, path: &Path) -> Result<()> {
        let content = if is_picture(path) {
            self.page()?
        } else {
            self.text()
        };
        value::write_out(path, content.as_bytes())
    }
}

impl KeptSheet {
    /// Removes the file of a code that did not take effect.
    pub fn discard(&self) {
        if let Some(path) = &self.file {
            // Failure is harmless: the file was created by this run, and its code opens nothing.
            let _ = std::fs::remove_file(path);
        }
    }

    /// Shows the code after an error that leaves unknown whether the code took effect, since it may be the only valid
    /// code. Returns the error with advice.
    pub fn report_after(&self, context: &Context, sheet: &Sheet, error: Error) -> Error {
        let open = [
            "unreachable",
            "session_ended",
            "wrong_password",
            "verification",
        ];
        if !open.contains(&error.kind()) {
            return error;
        }
        match self.report(context, sheet) {
            Ok(()) => error.with(
                "it is unknown whether the new recovery code is valid: keep both codes, because exactly one is",
            ),
            Err(unseen) => error.with(&format!("the new recovery code was not shown: {unseen}")),
        }
    }

    /// Prints the path of the sheet's file, or shows the sheet.
    ///
    /// # Errors
    /// [`Error::failed`], [`Error::interrupted`].
    pub fn report(&self, context: &Context, sheet: &Sheet) -> Result<()> {
        if let Some(path) = &self.file {
            let path = path.display();
            let object = json!({"account": sheet.account, "recovery_file": path.to_string()});
            let text = format!("recovery code: in {path}. {WARNING}");
            return context.out.done(&text, &object);
        }
        let is_person = context.prompt.is_interactive && context.out.is_terminal();
        if self.confirm && is_person && !context.out.is_json() {
            match sheet.show(context) {
                // There is no controlling terminal to show it on; printing keeps the code from being lost.
                Err(Error::Client(ClientError::Usage(_))) => {}
                shown => {
                    shown?;
                    context.out.note(WARNING);
                    return sheet.confirm(context);
                }
            }
        }
        sheet.print(context)?;
        context.out.note(WARNING);
        Ok(())
    }
}

impl Sheet {
    fn print(&self, context: &Context) -> Result<()> {
        let text = self.code.text();
        context.note_shown();
        let key = self.key.as_ref().map(DeviceKey::text);
        let key = key.as_ref().map(|key| key.as_str());
        let shown = Shown {
            account: &self.account,
            recovery_code: text.as_str(),
            device_key: key,
        };
        let line = format!("recovery code: {}", text.as_str());
        context.out.either(&shown, &line)?;
        if let Some(key) = key.filter(|_| !context.out.is_json()) {
            context.out.line(&format!("device key: {key}"))?;
            context.out.note("A new device asks once for the device key besides the password: keep the key on the same paper.");
        }
        Ok(())
    }
}

/// The JSON output.
#[derive(Serialize)]
struct Shown<'a> {
    account: &'a str,
    recovery_code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_key: Option<&'a str>,
}
