//! `push` and `pull`

use clap::Args;
use keyshell_base::names::SecretName;
use keyshell_client::account::Account;
use keyshell_client::device::local::{LocalSecret, Origin};
use serde_json::json;

use crate::commands::value::{self, Attributes};
use crate::commands::{local, naming, store};
use crate::error::Error;
use crate::server::NamedServer;
use crate::shell::Shell;

/// Store on the server what this device keeps.
///
/// Afterwards it is kept here as a copy of that version.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  push wifi\n  push wifi --force   # as a new version")]
pub struct Push {
    /// Name of the secret.
    name: String,
    /// Add a new version if the server has a secret of that name.
    #[arg(long)]
    force: bool,
}

impl Push {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<(), Error> {
        // First: it opens the local store as well.
        shell.account.vault().await?;
        let name = naming::existing_local(shell, &self.name)?;
        let kept = local::find(&mut shell.account, &name)?.clone();
        if is_stored(&shell.account, &name, &kept) {
            let version = kept.version;
            shell
                .context
                .out
                .note(&format!("{name}: the server has this as version {version}"));
            let object = json!({"name": name, "version": version, "pushed": false});
            return shell.context.out.either(&object, "");
        }
        let attributes = Attributes {
            tags: kept.tags.clone(),
            note: Some(kept.note.clone()),
            content_type: kept.content_type.clone(),
        };
        let version = store::store(
            &mut shell.account,
            &name,
            &kept.value,
            &attributes,
            self.force,
        )
        .await?;
        let vault = shell.account.open_vault().ok_or(Error::SessionEnded)?;
        let secret = value::find(vault.index(), &name)?.clone();
        let info = secret.version(Some(version)).copied();
        let info = info.ok_or_else(|| Error::NoSuchSecret(name.to_string()))?;
        shell
            .account
            .local_store()?
            .put_with(name.as_str(), |before| {
                // What another run wrote meanwhile is not on the server.
                if before != Some(&kept) {
                    let text = format!("`{name}` was stored, and changed on this device meanwhile");
                    return Err(Error::Exists(text));
                }
                Ok(local::copy(&secret, &info, kept.value.clone()))
            })?;
        shell.context.out.note(&format!(
            "{name}: version {version} on the server, and a copy here"
        ));
        let object = json!({"name": name, "version": version, "pushed": true});
        shell.context.out.either(&object, "")
    }
}

/// Whether it is a copy of the newest version that the server has.
fn is_stored(account: &Account<NamedServer>, name: &SecretName, kept: &LocalSecret) -> bool {
    let Origin::Saved(id, version) = kept.origin else {
        return false;
    };
    let vault = account.open_vault();
    let secret = vault.and_then(|vault| vault.index().find(name));
    secret.is_some_and(|secret| {
        secret.id == id && secret.newest().is_some_and(|info| info.version == version)
    })
}

/// Keep a copy on this device of what the server has.
///
/// As `get --save`, for those who think in directions.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  pull prod/db\n  pull prod/db --force   # also over a local one"
)]
pub struct Pull {
    /// Name of the secret.
    name: String,
    /// Replace a secret of that name that is kept on this device alone.
    #[arg(long)]
    force: bool,
}

impl Pull {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<(), Error> {
        let name = naming::existing(shell, &self.name).await?;
        let vault = shell.account.vault().await?;
        let secret = value::find(vault.index(), &name)?.clone();
        let info = secret.newest().copied();
        let info = info.ok_or_else(|| Error::NoSuchSecret(name.to_string()))?;
        let value = vault.fetch_one(secret.id, &info).await?;
        local::save(&mut shell.account, &secret, &info, &value, self.force)?;
        let version = info.version;
        shell
            .context
            .out
            .note(&format!("{name}: version {version} is kept on this device"));
        let object = json!({"name": name, "version": version, "saved": true});
        shell.context.out.either(&object, "")
    }
}
