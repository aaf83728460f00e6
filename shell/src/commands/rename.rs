//! `mv`

use clap::Args;
use keyshell_base::names::SecretName;
use keyshell_client::vault::commit::Change;
use serde_json::json;

use crate::commands::{local, naming, value};
use crate::error::{Error, Result};
use crate::server::OwnAccount;
use crate::shell::Shell;

/// Rename a secret and keep its versions.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  mv prod/db stage/db\n  mv \"my notes\" notes/mine")]
pub struct Rename {
    /// Name of the secret.
    name: String,
    /// New name of the secret.
    new: String,
    /// Rename the secret in this device's local store.
    #[arg(long)]
    local: bool,
}

impl Rename {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        let new = value::name(&self.new)?;
        let old = if self.local {
            let old = naming::existing_local(shell, &self.name)?;
            local::rename(&mut shell.account, &old, &new)?;
            old
        } else {
            let old = naming::existing(shell, &self.name).await?;
            rename(&mut shell.account, &old, &new).await?;
            old
        };
        shell.context.out.done(
            &format!("{old} is now {new}"),
            &json!({"from": old, "name": new}),
        )
    }
}

async fn rename(account: &mut OwnAccount, old: &SecretName, new: &SecretName) -> Result<()> {
    let vault = account.vault().await?;
    vault
        .commit(|index| {
            let secret = value::find(index, old)?;
            if old == new {
                return Ok(Vec::new());
            }
            if index.find(new).is_some() {
                return Err(Error::exists(format!(
                    "`{new}` exists already; choose another name"
                )));
            }
            let mut metadata = secret.metadata.clone();
            metadata.name = new.clone();
            Ok(vec![Change::Describe {
                secret: secret.id,
                metadata,
            }])
        })
        .await
}
