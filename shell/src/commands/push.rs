//! `push` and `pull`

use clap::Args;
use keyshell_base::names::SecretName;
use keyshell_client::device::local::{LocalSecret, Origin};
use keyshell_client::error::Error as ClientError;
use serde_json::json;

use crate::commands::value::{self, Attributes};
use crate::commands::{local, naming, store};
use crate::error::{Error, Result};
use crate::line::words::argument;
use crate::server::OwnAccount;
use crate::shell::Shell;

/// Upload a secret from this device's local store to the server.
///
/// The local secret becomes a copy of the uploaded version.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  push wifi\n  push wifi --force   # as a new version")]
pub struct Push {
    /// Name of the secret.
    name: String,
    /// Add a new version if the server has a secret of this name.
    #[arg(long)]
    force: bool,
}

impl Push {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        // Opens the vault first, because that opens the local store too.
        shell.account.vault().await?;
        let name = naming::existing_local(shell, &self.name)?;
        let kept = local::find(&mut shell.account, &name)?.clone();
        if is_stored(&shell.account, &name, &kept) {
            let version = kept.version;
            let object = json!({"name": name, "version": version, "pushed": false});
            return shell.context.out.done(
                &format!("{name}: the server has this value already, as version {version}"),
                &object,
            );
        }
        let attributes = Attributes {
            tags: kept.tags.clone(),
            note: Some(kept.note.clone()),
            content_type: kept.content_type.clone(),
        };
        let (account, value) = (&mut shell.account, &kept.value);
        let version = store::store(account, &name, value, &attributes, self.force).await?;
        let vault = shell
            .account
            .open_vault()
            .ok_or(ClientError::SessionEnded)?;
        let (secret, info) = value::find_version(vault.index(), &name, Some(version))?;
        let (secret, info) = (secret.clone(), *info);
        shell
            .account
            .local_store()?
            .put_with(name.as_str(), |before| {
                // Another run may have changed the local secret, and that value is not on the server.
                if before != Some(&kept) {
                    let named = argument(name.as_str());
                    let text = format!(
                        "`{name}` was stored, but changed on this device at the same time; `push --force {named}` stores the change"
                    );
                    return Err(Error::exists(text));
                }
                Ok(local::copy(&secret, &info, kept.value.clone()))
            })?;
        let object = json!({"name": name, "version": version, "pushed": true});
        shell.context.out.done(
            &format!(
                "{name}: stored on the server as version {version}, with a copy on this device"
            ),
            &object,
        )
    }
}

/// Whether the local secret is a copy of the newest version on the server.
fn is_stored(account: &OwnAccount, name: &SecretName, kept: &LocalSecret) -> bool {
    let Origin::Saved(id, version) = kept.origin else {
        return false;
    };
    let vault = account.open_vault();
    let secret = vault.and_then(|vault| vault.index().find(name));
    secret.is_some_and(|secret| {
        secret.id == id && secret.newest().is_some_and(|info| info.version == version)
    })
}

/// Download a secret from the server into this device's local store.
///
/// Does the same as `get --save`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  pull prod/db\n  pull prod/db --force   # replaces a local secret"
)]
pub struct Pull {
    /// Name of the secret.
    name: String,
    /// Replace a secret of this name that is only on this device.
    #[arg(long)]
    force: bool,
}

impl Pull {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        let name = naming::existing(shell, &self.name).await?;
        let vault = shell.account.vault().await?;
        let (secret, info) = value::find_version(vault.index(), &name, None)?;
        let (secret, info) = (secret.clone(), *info);
        let value = vault.fetch_one(secret.id, &info).await?;
        local::save(&mut shell.account, &secret, &info, &value, self.force)?;
        let version = info.version;
        let object = json!({"name": name, "version": version, "saved": true});
        shell.context.out.done(
            &format!("{name}: version {version} copied to this device"),
            &object,
        )
    }
}
