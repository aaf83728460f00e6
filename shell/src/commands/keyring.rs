//! `keyring`

use clap::{Args, Subcommand};
use keyshell_client::device::keyring;
use serde_json::json;

use crate::error::{Error, Result};
use crate::shell::Shell;

/// Set whether the local store also needs a secret in the desktop's keyring.
///
/// With that secret, a thief of the store's file cannot guess the password. If the keyring is locked, lost or on
/// another desktop, the store opens only while the server can be reached. Earlier copies of the file are not changed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  keyring on\n  keyring off\n  status   # shows the setting")]
pub struct Keyring {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum Action {
    /// Store a random secret in the keyring and wrap the store's key under it too; also replaces a lost secret.
    On,
    /// Wrap the store's key under the password alone, and remove the secret from the keyring.
    Off,
}

impl Keyring {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        let on = matches!(self.action, Action::On);
        if on {
            keyring::look().map_err(Error::failed)?;
        }
        let profile = &shell.context.profile;
        profile.change(|profile| profile.keyring = Some(on))?;
        shell.account.bind_local_store(on).await?;
        shell.context.out.done(
            if on {
                "offline, the local store now opens with the password and this desktop's keyring"
            } else {
                "offline, the local store now opens with the password alone"
            },
            &json!({"keyring": on}),
        )
    }
}
