//! `history`

use clap::Args;
use serde_json::{Value, json};

use crate::commands::value;
use crate::error::Error;
use crate::output::{table, terminal};
use crate::shell::Shell;
use crate::time;

/// List the versions of a secret; `get NAME --version N` reads an older one.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  history prod/db\n  get prod/db --version 2   # reads an older one"
)]
pub struct History {
    /// Name of the secret.
    name: String,
}

impl History {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<(), Error> {
        let name = value::existing(shell, &self.name).await?;
        let out = shell.out;
        let vault = shell.vault().await?;
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
        let width = terminal::size().map(|size| size.columns);
        let text = table::render(["VERSION", "CREATED", "DEVICE"], rows.collect(), width, 0);
        if out.is_json() {
            return out.object(&json!({"name": name, "versions": versions}));
        }
        out.lines(&text.unwrap_or_default())
    }
}
