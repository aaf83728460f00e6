//! `passwd`

use clap::Args;
use serde_json::json;

use crate::commands::new_password::NewPassword;
use crate::error::Error;
use crate::shell::Shell;

/// Change the password.
///
/// The old one is asked for first. The new one is proven by a complete login before it takes the place of the old one,
/// which then opens nothing any more; all other sessions end, and other devices need the new password, also those where a
/// keyshell or an agent is unlocked. Nothing is re-encrypted, and recovery code and device key stay good.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  passwd\n  passwd --new-password-file next")]
pub struct Passwd {
    #[command(flatten)]
    new: NewPassword,
}

impl Passwd {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<(), Error> {
        let account = shell.account.name()?;
        shell.account.freshly_authenticated_vault().await?;
        let new = self.new.get(shell, &account)?;
        // Typing may have taken long.
        shell.account.freshly_authenticated_vault().await?;
        shell
            .account
            .change_password(&new)
            .await
            .map_err(|error| uncertain(error.into()))?;
        shell.context.out.note(
            "password changed; other sessions have ended, and other devices need the new password",
        );
        shell
            .context
            .out
            .either(&json!({"account": account.as_str(), "changed": true}), "")
    }
}

/// What to do where the last answer did not arrive.
pub fn uncertain(error: Error) -> Error {
    match error {
        Error::Unreachable(_) | Error::SessionEnded => error.with(
            "exactly one password holds: `login` with the new one, and if it is refused with the old one",
        ),
        error => error,
    }
}
