//! `rm`

use clap::Args;
use serde_json::json;

use crate::commands::local;
use crate::commands::value;
use crate::error::Error;
use crate::shell::Shell;
use crate::vault::commit::Change;

/// Remove a secret with all its versions. It cannot be brought back.
#[derive(Debug, Args)]
pub struct Remove {
    /// Name of the secret.
    name: String,
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
    /// Remove it from this device's local store, not from the server.
    #[arg(long)]
    local: bool,
}

impl Remove {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<(), Error> {
        let name = value::name(&self.name)?;
        if !self.local {
            value::find(shell.vault().await?.index(), &name)?;
        }
        let question = format!("Remove `{name}` with all its versions for good?");
        if !self.yes && !shell.prompt.confirm(&question, "give --yes")? {
            shell.out.note("nothing was removed");
            return Ok(());
        }
        if self.local {
            local::remove(shell, &name)?;
        } else {
            shell
                .vault()
                .await?
                .commit(|index| {
                    let secret = value::find(index, &name)?.id;
                    Ok(vec![Change::Remove { secret }])
                })
                .await?;
        }
        shell.out.note(&format!("{name}: removed"));
        shell
            .out
            .either(&json!({"name": name, "removed": true}), "")
    }
}
