//! The recovery sheet: the recovery code, account, server and device key, to be kept on paper.

mod paper;
mod screen;

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use keyshell_client::account::Connected;
use keyshell_client::error::Error as ClientError;
use keyshell_client::keys::anchor::Anchor;
use keyshell_client::keys::device_key::DeviceKey;
use keyshell_client::keys::recovery::RecoveryCode;
use serde::Serialize;
use serde_json::json;
use shared::names::AccountName;
use zeroize::Zeroizing;

use crate::commands::new_device::NewDevice;
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

impl SheetOptions {
    /// Says that a recovery code will be shown, before any question whose answer would be lost by a Ctrl-C to fetch paper.
    pub fn announce(&self, context: &Context) {
        let is_person = context.prompt.is_interactive && context.out.is_terminal();
        if self.recovery_file.is_none() && is_person {
            context.out.note(
                "a recovery code will be shown once: have pen and paper ready, or press Ctrl-C and give --recovery-file FILE \
                (FILE.svg is a page to print)",
            );
        }
    }
}

/// The content of the recovery sheet.
#[derive(Debug)]
pub struct Sheet {
    new_device: NewDevice,
    code: RecoveryCode,
    key: Option<DeviceKey>,
    /// The newest state of the account that this device has verified; `None` before the first one.
    anchor: Option<Anchor>,
}

/// Where the sheet is kept: in a file, or on paper after it is shown.
#[derive(Debug)]
pub struct KeptSheet {
    file: Option<SheetFile>,
    confirm: bool,
}

/// The file of a sheet.
#[derive(Debug)]
struct SheetFile {
    path: PathBuf,
    /// The file until the code is known to be valid.
    pending: PathBuf,
}

impl SheetFile {
    fn new(path: &Path) -> Self {
        let mut pending = path.as_os_str().to_owned();
        pending.push(".pending");
        Self {
            path: path.to_owned(),
            pending: pending.into(),
        }
    }
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
        Ok(Self {
            new_device: NewDevice::new(shell, connected, account),
            code: code.clone(),
            key: shell.account.device.device_key(account)?,
            anchor,
        })
    }

    /// Writes the sheet to a file before the code takes effect, so that a code that cannot be kept never takes effect. Until
    /// [`KeptSheet::report`] the file has another name than the wanted one.
    ///
    /// # Errors
    /// [`Error::exists`], [`Error::failed`].
    pub fn keep(&self, options: &SheetOptions) -> Result<KeptSheet> {
        let file = options.recovery_file.as_deref().map(SheetFile::new);
        if let Some(file) = &file {
            if file.path.symlink_metadata().is_ok() {
                return Err(value::not_written(
                    &file.path,
                    io::ErrorKind::AlreadyExists.into(),
                ));
            }
            value::write_out(&file.pending, self.content(&file.path)?.as_bytes())?;
        }
        Ok(KeptSheet {
            file,
            confirm: !options.no_confirm,
        })
    }

    /// The content of a file with this name.
    fn content(&self, path: &Path) -> Result<Zeroizing<String>> {
        if is_picture(path) {
            self.page()
        } else {
            Ok(self.text())
        }
    }
}

impl KeptSheet {
    /// Removes the file of a code that did not take effect.
    pub fn discard(&self) {
        if let Some(file) = &self.file {
            // Failure is harmless: the file was created by this run, and its code opens nothing.
            let _ = std::fs::remove_file(&file.pending);
        }
    }

    /// Says where the new code is while it is unknown whether it is valid.
    pub fn whereabouts(&self) -> String {
        match &self.file {
            Some(file) => format!("the new code is in {}", file.pending.display()),
            None => "the new code was not shown".to_owned(),
        }
    }

    /// Shows the code after an error that leaves unknown whether the code took effect, since it may be the only valid
    /// code. Returns the error with advice.
    pub fn report_after(&self, context: &Context, sheet: &Sheet, error: Error) -> Error {
        if matches!(error.kind(), "exists" | "limit" | "usage" | "login_refused") {
            self.discard();
            return error;
        }
        let shown = match &self.file {
            Some(file) => sheet.report_file(context, &file.pending),
            None => self.show(context, sheet),
        };
        match shown {
            Ok(()) => error.with(
                "it is unknown whether the new recovery code is valid: keep both codes, because exactly one is",
            ),
            Err(unseen) => error.with(&format!("the new recovery code was not shown: {unseen}")),
        }
    }

    /// Prints the path of the sheet's file, or shows the sheet; the code is valid. The sheet gets the code of the state that
    /// this device has verified since.
    ///
    /// # Errors
    /// [`Error::failed`], [`Error::interrupted`].
    pub fn report(&self, shell: &Shell, sheet: &mut Sheet) -> Result<()> {
        let verified = shell.account.device.anchor(&sheet.new_device.account)?;
        if verified.is_some() {
            sheet.anchor = verified;
        }
        let Some(file) = &self.file else {
            return self.show(&shell.context, sheet);
        };
        let written = sheet
            .content(&file.path)
            .and_then(|content| value::write_out(&file.path, content.as_bytes()));
        written.map_err(|error| {
            error.with(&format!(
                "the new recovery code is valid, and is in {}",
                file.pending.display()
            ))
        })?;
        self.discard();
        sheet.report_file(&shell.context, &file.path)
    }

    fn show(&self, context: &Context, sheet: &Sheet) -> Result<()> {
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
    fn report_file(&self, context: &Context, path: &Path) -> Result<()> {
        let path = path.display();
        let account = self.new_device.account.as_str();
        let object = json!({"account": account, "recovery_file": path.to_string()});
        let text = format!("recovery code: in {path}. {WARNING}");
        context.out.done(&text, &object)
    }

    fn print(&self, context: &Context) -> Result<()> {
        let text = self.code.text();
        context.note_shown();
        let key = self.key.as_ref().map(DeviceKey::text);
        let key = key.as_ref().map(|key| key.as_str());
        let shown = Shown {
            account: self.new_device.account.as_str(),
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
