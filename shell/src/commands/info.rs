//! `info`

use clap::Args;
use serde_json::json;

use crate::commands::{field, naming, value};
use crate::error::Result;
use crate::shell::Shell;
use crate::time;

/// Show the metadata of a secret, not its value.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  info prod/db\n  info \"my web/mail account\"")]
pub struct Info {
    /// Name of the secret.
    name: String,
}

impl Info {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        let name = naming::existing(shell, &self.name).await?;
        let out = shell.context.out;
        let vault = shell.account.vault().await?;
        let secret = value::find(vault.index(), &name)?;
        let metadata = &secret.metadata;
        let newest = secret.newest();
        let version = newest.map_or(0, |info| info.version.0);
        let created = secret.versions.first().map_or(0, |info| info.created_ms);
        let object = json!({
            "name": name,
            "id": secret.id,
            "version": version,
            "versions": secret.versions.len(),
            "created_ms": created,
            "changed_ms": secret.changed_ms,
            "tags": metadata.tags,
            "note": metadata.note,
            "content_type": metadata.content_type,
            "fields": field::noted(metadata),
            "log_entry": newest.map(|info| info.seq),
            "value_hash": newest.map(|info| info.value_hash),
        });
        let content_type = metadata.content_type.as_deref().unwrap_or("not known");
        let mut lines = vec![
            format!("name     {name}"),
            format!("version  {version} of {}", secret.versions.len()),
            format!("created  {}", time::for_reader(created, out.is_terminal())),
            format!(
                "changed  {}",
                time::for_reader(secret.changed_ms, out.is_terminal())
            ),
            format!("type     {content_type}"),
            format!("tags     {}", metadata.tags.join(", ")),
            format!("note     {}", metadata.note),
            format!("id       {}", secret.id),
        ];
        let fields = field::noted(metadata);
        if !fields.is_empty() {
            lines.push(format!("fields   {}", fields.join(", ")));
        }
        let lines: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
        out.either(&object, &lines.join("\n"))
    }
}
