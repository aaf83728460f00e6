//! `register`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use shared::opaque::Slot;

use crate::client::register::Registration;
use crate::error::Error;
use crate::files;
use crate::recovery::RecoveryCode;
use crate::shell::Shell;
use crate::vault::pins::ServerPins;

/// Make an account on the server.
///
/// A recovery code is printed once, or written to a file. Without the password and without the code nobody can ever
/// read the data.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  register\n  register --recovery-file recovery.txt")]
pub struct Register {
    /// Write the recovery code to this new file instead of printing it.
    #[arg(long, value_name = "FILE")]
    recovery_file: Option<PathBuf>,
    /// The invite code, where the server asks for one.
    #[arg(long, value_name = "CODE")]
    invite: Option<String>,
}

impl Register {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<(), Error> {
        let account = shell.account()?;
        let file = shell.pins_file(&account);
        if file.load()?.is_some() {
            return Err(Error::Exists(format!(
                "this profile knows an account `{account}` already; choose another --profile or --account"
            )));
        }
        if let Some(path) = self.recovery_file.as_ref().filter(|path| path.exists()) {
            let text = format!("{} exists already; nothing was done", path.display());
            return Err(Error::Exists(text));
        }
        let mut connected = shell.connect().await?;
        let password = shell.passwords().get_new(account.as_str())?;
        let recovery = RecoveryCode::random();
        // Before the account exists: a code that cannot be kept must not be needed later.
        if let Some(path) = &self.recovery_file {
            files::create_new(path, format!("{}\n", recovery.text().as_str()).as_bytes())
                .map_err(|error| Error::io(&format!("writing {}", path.display()), &error))?;
        }
        let registration = Registration {
            account: &account,
            device: shell.home.device()?,
            server: ServerPins::from(&connected.hello),
            invite: self.invite.clone(),
            credentials: &[
                (Slot::Password, password.as_secret()),
                (Slot::Recovery, recovery.as_secret()),
            ],
        };
        let (finish, pins) = match registration.prepare(&mut connected.api).await {
            Ok(prepared) => prepared,
            Err(error) => {
                if let Some(path) = &self.recovery_file {
                    // Ours, and a code for nothing.
                    let _ = std::fs::remove_file(path);
                }
                return Err(error);
            }
        };
        if let Err(error) = Registration::complete(&mut connected.api, &finish).await {
            // Whatever the server says, the account may exist, and this is its code.
            self.report(shell, account.as_str(), &recovery)?;
            return Err(error.with(
                "whether the account was made is not known: if `login` works it was, and the recovery code is its own",
            ));
        }
        file.hold()?.save(&pins)?;
        shell.out.note(&format!("account `{account}` is made"));
        self.report(shell, account.as_str(), &recovery)?;
        shell
            .log_in_with(connected, &account, &password, true)
            .await
    }

    fn report(&self, shell: &Shell, account: &str, recovery: &RecoveryCode) -> Result<(), Error> {
        let warning = "Without the password and without this code nobody can ever read the data: keep it on paper.";
        if let Some(path) = &self.recovery_file {
            let path = path.display();
            shell
                .out
                .note(&format!("recovery code: in {path}. {warning}"));
            let object = json!({"account": account, "recovery_file": path.to_string()});
            return shell.out.either(&object, "");
        }
        let text = recovery.text();
        shell.note_shown();
        let object = json!({"account": account, "recovery_code": text.as_str()});
        shell
            .out
            .either(&object, &format!("recovery code: {}", text.as_str()))?;
        shell.out.note(warning);
        Ok(())
    }
}
