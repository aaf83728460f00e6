//! `rm`

use clap::Args;
use serde_json::json;

use crate::commands::local;
use crate::commands::value;
use crate::error::Error;
use crate::shell::Shell;
use crate::vault::commit::Change;
use crate::vault::names::SecretName;

/// Remove a secret with all its versions. It cannot be brought back.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  rm prod/old\n  rm prod/old --yes")]
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
    /// What is removed without a question must be named in full.
    async fn name(&self, shell: &mut Shell) -> Result<SecretName, Error> {
        let name = match (self.yes, self.local) {
            (true, _) => value::name(&self.name)?,
            (false, true) => value::existing_local(shell, &self.name)?,
            (false, false) => value::existing(shell, &self.name).await?,
        };
        if !self.local {
            value::find(shell.vault().await?.index(), &name)?;
        }
        Ok(name)
    }

    pub(super) async fn run(self, shell: &mut Shell) -> Result<(), Error> {
        let name = self.name(shell).await?;
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
