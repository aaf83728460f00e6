//! `rotate-key`

use clap::Args;
use keyshell_client::keys::recovery::RecoveryCode;
use serde_json::json;
use shared::opaque::Slot;

use crate::commands::sheet::{Kept, Sheet};
use crate::error::Error;
use crate::shell::Shell;

/// Replace the account key, and encrypt everything anew under it.
///
/// For somebody whose device was stolen: whoever has the old account key can open nothing of what the server holds
/// afterwards, and sign nothing. The password is asked for, and stays. A new recovery code takes the place of the old one;
/// other devices log in with the password again, and all other sessions end. What was broken off goes on when the command
/// is given again. What was read or copied before stays what it is: secrets that the thief may have seen are to be changed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  rotate-key\n  rotate-key --yes --recovery-file new-sheet.txt")]
pub struct RotateKey {
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    sheet: Kept,
}

impl RotateKey {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<(), Error> {
        let question =
            "Encrypt everything anew, and let all other devices log in with the password again?";
        if !self.yes && !shell.context.prompt.confirm(question, "give --yes")? {
            return Err(Error::Interrupted);
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
            "the account key is replaced, everything is encrypted anew; other sessions have ended, and other devices need \
             the password once",
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
