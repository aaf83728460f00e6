//! `keyring`

use clap::{Args, Subcommand};
use keyshell_client::device::keyring;
use serde_json::json;

use crate::error::Error;
use crate::shell::Shell;

/// Have the local store want a secret in the desktop's keyring besides the password, or not.
///
/// With it nobody can guess the password by a stolen copy of the store's file. Without the keyring (locked, on another
/// desktop, lost) the store opens only while the server is reached. Copies of the file from before are as they were.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  keyring on\n  keyring off\n  status   # says which")]
pub struct Keyring {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum What {
    /// Put a random secret into the keyring and wrap the store's key under it as well; also to replace a lost one.
    On,
    /// Go back to the password alone, and remove the secret from the keyring.
    Off,
}

impl Keyring {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<(), Error> {
        let on = matches!(self.what, What::On);
        if on {
            keyring::look().map_err(|error| Error::Failed(error.to_string()))?;
        }
        let profile = &shell.context.profile;
        profile.change(|profile| profile.keyring = Some(on))?;
        shell.account.bind_local_store(on).await?;
        shell.context.out.note(if on {
            "offline the local store opens with the password and this desktop's keyring"
        } else {
            "offline the local store opens with the password alone"
        });
        shell.context.out.either(&json!({"keyring": on}), "")
    }
}
