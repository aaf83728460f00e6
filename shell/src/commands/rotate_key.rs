//! `rotate-key`

use clap::Args;
use keyshell_client::keys::recovery::RecoveryCode;
use serde_json::json;
use shared::opaque::Slot;

use crate::commands::sheet::{Sheet, SheetOptions};
use crate::error::{Error, Result};
use crate::shell::Shell;

/// Replace the account key, and re-encrypt all data under the new key.
///
/// Use it after a device was stolen: the old account key then decrypts nothing that the server holds, and signs
/// nothing. The password is asked for and stays valid. A new recovery code replaces the old one, all other sessions
/// end, and each other device needs the password once. If the command is interrupted, run it again to continue. Values
/// that were read or copied before are not protected: change the secrets that the thief may have seen.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  rotate-key\n  rotate-key --yes --recovery-file new-sheet.txt")]
pub struct RotateKey {
    /// Do not ask for confirmation.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    sheet: SheetOptions,
}

impl RotateKey {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        let question = "Re-encrypt all data, end all other sessions, and require the password once on each other device?";
        if !self.yes && !shell.context.prompt.confirm(question, "give --yes")? {
            return Err(Error::interrupted());
        }
        let account = shell.account.name()?;
        let password = shell.account.log_in_again().await?;
        let rotation = shell.account.begin_rotation(&password).await?;
        let has_recovery = rotation.in_use().contains(&Slot::Recovery);
        let code = has_recovery.then(RecoveryCode::random);
        let sheet = match &code {
            Some(code) => {
                let connected = shell.account.connect().await?;
                let sheet = Sheet::new(shell, &connected, &account, code)?;
                Some((sheet.keep(&shell.context, &self.sheet)?, sheet))
            }
            None => None,
        };
        let secret = code.as_ref().map(RecoveryCode::as_secret);
        let finished = shell
            .account
            .finish_rotation(rotation, &password, secret)
            .await;
        if let Err(error) = finished.map_err(Error::from) {
            return Err(match &sheet {
                Some((kept, sheet)) => kept.report_after(&shell.context, sheet, error),
                None => error,
            });
        }
        shell.context.out.note(
            "account key replaced and all data re-encrypted; other sessions have ended, and other devices need the password \
            once",
        );
        match sheet {
            Some((kept, sheet)) => kept.report(&shell.context, &sheet),
            None => shell
                .context
                .out
                .either(&json!({"account": account.as_str()}), ""),
        }
    }
}
