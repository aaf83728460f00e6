//! `passwd`

use clap::Args;
use keyshell_client::error::Error as ClientError;
use serde_json::json;

use crate::commands::new_password::NewPassword;
use crate::error::{Error, Result};
use crate::shell::Shell;

/// Change the password.
///
/// The old password is asked for first. The new password is tested with a complete login before it replaces the old
/// one, which becomes invalid. All other sessions end, and other devices need the new password, even if a keyshell or
/// an agent is unlocked there. Nothing is re-encrypted, and the recovery code and device key stay valid.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  passwd\n  passwd --new-password-file next")]
pub struct Passwd {
    #[command(flatten)]
    new: NewPassword,
}

impl Passwd {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        let account = shell.account.name()?;
        shell.account.freshly_authenticated_vault().await?;
        let new = self.new.get(shell, &account)?;
        // The session may have expired while the new password was typed.
        shell.account.freshly_authenticated_vault().await?;
        shell
            .account
            .change_password(&new)
            .await
            .map_err(|error| uncertain(error.into()))?;
        shell.context.out.done(
            "password changed; other sessions have ended, and other devices need the new password",
            &json!({"account": account.as_str(), "changed": true}),
        )
    }
}

/// Adds advice to an error that leaves unknown which password is valid, because the server's last answer is missing.
pub fn uncertain(error: Error) -> Error {
    match error.cause() {
        Some(ClientError::Unreachable(_) | ClientError::SessionEnded) => error.with(
            "it is unknown which password is valid: try `login` with the new one, then with the old one",
        ),
        _ => error,
    }
}
