//! `passwd`

use clap::Args;
use keyshell_client::error::Error as ClientError;
use serde_json::json;
use shared::opaque::Slot;

use crate::commands::new_password::NewPassword;
use crate::error::{Error, Result};
use crate::shell::Shell;

/// Change the password.
///
/// The old password is asked for first. The new password is tested with a complete login before it replaces the old
/// one, which becomes invalid: together with any copy of the server it opens nothing that is written from then on. All
/// other sessions end. Nothing is re-encrypted. The recovery code, the device key and the credentials of other devices
/// stay valid; they are listed, because a credential that you do not know may be a thief's.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  passwd\n  passwd --new-password-file next")]
pub struct Passwd {
    #[command(flatten)]
    new: NewPassword,
}

impl Passwd {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        let account = shell.account.name()?;
        let present = shell.account.log_in_again().await?;
        let new = self.new.get(shell, &account, Some(&present))?;
        // The session may have expired while the new password was typed.
        shell.account.freshly_authenticated_vault().await?;
        shell
            .account
            .change_password(&new)
            .await
            .map_err(|error| uncertain(error.into()))?;
        let devices = other_devices(shell);
        if !devices.is_empty() {
            shell.context.out.note(&format!(
                "these devices can open sessions by their own credentials: {}; `devices revoke NAME` ends one",
                devices.join(", ")
            ));
        }
        shell.context.out.done(
            "password changed; other sessions have ended",
            &json!({"account": account.as_str(), "changed": true, "devices": devices}),
        )
    }
}

/// Names of the other devices that have credentials of their own.
fn other_devices(shell: &Shell) -> Vec<String> {
    let Some(vault) = shell.account.open_vault() else {
        return Vec::new();
    };
    let credentials = vault.index().credentials();
    let slots = vault.other_devices().into_iter();
    slots
        .filter_map(|slot| match slot {
            Slot::Device(id) => Some(credentials.device_name(&id)),
            Slot::Password | Slot::Recovery => None,
        })
        .collect()
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
