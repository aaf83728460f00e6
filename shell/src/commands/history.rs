//! `history`

use clap::Args;
use serde_json::{Value, json};

use crate::commands::value;
use crate::error::Error;
use crate::output::table;
use crate::shell::Shell;
use crate::time;

/// List the versions of a secret; `get NAME --version N` reads an older one.
#[derive(Debug, Args)]
pub struct History {
    /// Name of the secret.
    name: String,
}

impl History {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<(), Error> {
        let name = value::name(&self.name)?;
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
                time::local(info.created_ms),
                credentials.device_name(&info.device),
            ]
        });
        let text = table::render(["VERSION", "CREATED", "DEVICE"], rows.collect());
        let object = json!({"name": name, "versions": versions});
        out.either(&object, &text.unwrap_or_default())
    }
}
