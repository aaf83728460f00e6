//! `history`

use clap::Args;
use keyshell_client::device::local::Origin;
use serde_json::{Value, json};

use crate::commands::{local, naming, value};
use crate::error::Result;
use crate::shell::Shell;
use crate::time;

/// List the versions of a secret; `get NAME --version N` reads an older version.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  history prod/db\n  get prod/db --version 2   # reads an older version"
)]
pub struct History {
    /// Name of the secret.
    name: String,
    /// List the version in this device's local store; works without the server.
    #[arg(long)]
    local: bool,
}

impl History {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        if self.local {
            return self.kept(shell);
        }
        let name = naming::existing(shell, &self.name).await?;
        let out = shell.context.out;
        let vault = shell.account.vault().await?;
        let secret = value::find(vault.index(), &name)?;
        let credentials = vault.index().credentials();
        let versions: Vec<Value> = secret
            .versions
            .iter()
            .map(|info| {
                json!({
                    "version": info.version,
                    "created_ms": info.created_ms,
                    "device": info.device,
                    "device_name": credentials.device_name(&info.device),
                    "log_entry": info.seq,
                })
            })
            .collect();
        let rows = secret.versions.iter().rev().map(|info| {
            [
                info.version.to_string(),
                time::for_reader(info.created_ms, out.is_terminal()),
                credentials.device_name(&info.device),
            ]
        });
        if out.is_json() {
            return out.object(&json!({"name": name, "versions": versions}));
        }
        out.table(["VERSION", "CREATED", "DEVICE"], rows, &[2])
    }

    fn kept(&self, shell: &mut Shell) -> Result<()> {
        let name = naming::existing_local(shell, &self.name)?;
        let out = shell.context.out;
        let secret = local::find(&mut shell.account, &name)?;
        let (version, changed_ms) = (secret.version, secret.changed_ms);
        let saved = matches!(secret.origin, Origin::Saved(..));
        if out.is_json() {
            let versions = json!([{"version": version, "created_ms": changed_ms, "saved": saved}]);
            return out.object(&json!({"name": name, "versions": versions}));
        }
        let row = [
            version.to_string(),
            time::for_reader(changed_ms, out.is_terminal()),
            if saved { "copy" } else { "only here" }.to_owned(),
        ];
        out.table(["VERSION", "WRITTEN", "HERE"], std::iter::once(row), &[])
    }
}
