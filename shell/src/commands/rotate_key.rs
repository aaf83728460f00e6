//! `rotate-key`

use clap::Args;
use keyshell_base::text::plural;
use serde_json::json;

use crate::error::{Error, Result};
use crate::process::explain_interrupt;
use crate::shell::Shell;

/// Replace the account key, and re-encrypt all data under the new key.
///
/// Use it after a device was stolen: the old account key then decrypts nothing that the server holds, and signs
/// nothing. The password is asked for and stays valid, and so do the recovery code and the credentials of other devices;
/// all other sessions end. Revoke the stolen device first (`devices revoke`). If the command is interrupted, run it again
/// to continue. Values that were read or copied before are not protected: change the secrets that the thief may have
/// seen.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  rotate-key\n  rotate-key --yes")]
pub struct RotateKey {
    /// Do not ask for confirmation.
    #[arg(long)]
    yes: bool,
}

impl RotateKey {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        let question = "Re-encrypt all data under a new account key, and end all other sessions?";
        if !self.yes && !shell.context.prompt.confirm(question, "give --yes")? {
            return Err(Error::declined());
        }
        let account = shell.account.name()?;
        let password = shell.account.log_in_again().await?;
        let text =
            "interrupted; if `status` shows an unfinished re-encryption, `rotate-key` continues it";
        explain_interrupt(Some(text.into()));
        let unreadable = shell.account.replace_account_key(&password).await?;
        if unreadable > 0 {
            let count = usize::try_from(unreadable).unwrap_or(usize::MAX);
            shell.context.out.say(&format!(
                "{} cannot be read and stay as they are; `ls` and `info` show which secrets",
                plural(count, "version")
            ));
        }
        shell.context.out.done(
            "account key replaced and all data re-encrypted; other sessions have ended",
            &json!({"account": account.as_str(), "unreadable": unreadable}),
        )
    }
}
