//! `rm`

use clap::Args;
use keyshell_base::names::SecretName;
use keyshell_client::vault::commit::Change;
use serde_json::json;
use shared::ids::SecretId;

use crate::commands::{local, naming, value};
use crate::error::{Error, Result};
use crate::shell::Shell;

/// Remove a secret; `restore NAME` brings it back within 30 days.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  rm prod/old\n  rm prod/old --yes")]
pub struct Remove {
    /// Name of the secret.
    name: String,
    /// Do not ask for confirmation.
    #[arg(long, short)]
    yes: bool,
    /// Remove the secret from this device's local store, not from the server.
    #[arg(long)]
    local: bool,
}

impl Remove {
    /// The full name of the secret, and its id if the user will be asked to confirm it. With --yes, an abbreviation is
    /// refused.
    async fn named(&self, shell: &mut Shell) -> Result<(SecretName, Option<SecretId>)> {
        let name = match (self.yes, self.local) {
            (true, _) => value::name(&self.name)?,
            (false, true) => naming::existing_local(shell, &self.name)?,
            (false, false) => naming::existing(shell, &self.name).await?,
        };
        if self.local {
            return Ok((name, None));
        }
        let id = value::find(shell.account.vault().await?.index(), &name)?.id;
        Ok((name, Some(id)))
    }

    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        let (name, confirmed) = self.named(shell).await?;
        let question = if self.local {
            format!("Remove `{name}` from this device permanently?")
        } else {
            format!("Remove `{name}`? It can be restored for 30 days.")
        };
        if !self.yes && !shell.context.prompt.confirm(&question, "give --yes")? {
            shell.context.out.note("nothing was removed");
            return Ok(());
        }
        if let Some(confirmed) = confirmed {
            shell
                .account
                .vault()
                .await?
                .commit(|index| {
                    // Another device may have given the name to another secret since the confirmation.
                    let secret = value::find(index, &name)?.id;
                    if secret != confirmed {
                        return Err(Error::no_such_secret(&name));
                    }
                    Ok(vec![Change::Remove { secret }])
                })
                .await?;
        } else {
            local::remove(&mut shell.account, &name)?;
        }
        let done = if self.local {
            format!("{name}: removed from this device")
        } else {
            format!("{name}: removed; `restore` brings it back within 30 days")
        };
        shell
            .context
            .out
            .done(&done, &json!({"name": name, "removed": true}))
    }
}
