//! `lock`

use clap::Args;
use serde_json::json;

use crate::error::Error;
use crate::shell::Shell;

/// Wipe the keys from memory and close the session; the next command asks for the password.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  lock\n  login   # unlocks; so does any other command")]
pub struct Lock {}

impl Lock {
    #[allow(clippy::unused_self)]
    pub(super) async fn run(self, shell: &mut Shell) -> Result<(), Error> {
        let locked = shell.lock().await?;
        if !locked {
            shell.out.note("there was nothing to lock");
        }
        shell.out.either(&json!({"locked": locked}), "")
    }
}
