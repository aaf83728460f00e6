//! `restore` and `purge`: removed secrets and older versions.

use clap::Args;
use keyshell_base::names::SecretName;
use keyshell_base::text::plural;
use keyshell_client::index::metadata::Metadata;
use keyshell_client::index::{Index, RemovedSecret, Secret};
use keyshell_client::vault::commit::Change;
use serde_json::json;
use shared::ids::{SecretId, Version};
use shared::wire::limits::{MAX_BATCH, REMOVED_KEPT_MS};

use crate::commands::{naming, value};
use crate::error::{Error, Result};
use crate::line::words::argument;
use crate::shell::Shell;
use crate::time;

/// Digits of a secret's id that the list shows, and that are needed to name a removed secret by its id.
const ID_DIGITS: usize = 8;

/// Restore a removed secret, or make an older version the newest.
///
/// Without a name, the removed secrets are listed. A removed secret can be restored for 30 days. Of several removed
/// secrets with one name, the name means the one that was removed last, and the beginning of its id means any of them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  restore\n  restore prod/old\n  restore prod/db --version 2")]
pub struct Restore {
    /// Name of the secret, or the beginning of the id of a removed one.
    name: Option<String>,
    /// Store this version's value again, as the newest version.
    #[arg(long, value_name = "N", requires = "name")]
    version: Option<u64>,
}

impl Restore {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        match (self.name, self.version.map(Version)) {
            (None, _) => list(shell).await,
            (Some(name), None) => restore(shell, &value::name(&name)?).await,
            (Some(name), Some(version)) => store_again(shell, &name, version).await,
        }
    }
}

/// Destroy a removed secret, the older versions of a secret, or all notes, for good.
///
/// Destroyed values cannot be restored. The password is asked for. Removed secrets are destroyed without this command
/// 30 days after their removal.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  purge prod/old\n  purge --trash\n  purge --notes")]
pub struct Purge {
    /// Name of removed secrets, the beginning of the id of one, or the name of a secret whose older versions are destroyed.
    name: Option<String>,
    /// Destroy all removed secrets.
    #[arg(long, conflicts_with = "name")]
    trash: bool,
    /// Destroy the texts of all notes in the vault log, which count towards the quota.
    #[arg(long, conflicts_with_all = ["name", "trash"])]
    notes: bool,
    /// Do not ask for confirmation.
    #[arg(long, short)]
    yes: bool,
}

impl Purge {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        if self.notes {
            return purge_notes(shell, self.yes).await;
        }
        if self.name.is_none() && !self.trash {
            return Err(Error::usage(
                "name a secret, or give --trash for all removed ones; `restore` lists them",
            ));
        }
        let name = self.name.as_deref().map(value::name).transpose()?;
        let vault = shell.account.vault().await?;
        let found = Found::new(vault.index(), name.as_ref());
        if found.is_empty() {
            let Some(name) = &name else {
                shell.context.out.note("there are no removed secrets");
                return Ok(());
            };
            if vault.index().find(name).is_none() {
                return Err(Error::no_such_secret_removed(name));
            }
            let text =
                format!("`{name}` has no older versions, and no removed secret had this name");
            shell.context.out.note(&text);
            return Ok(());
        }
        let question = format!("Destroy {} for good?", found.text());
        if !self.yes && !shell.context.prompt.confirm(&question, "give --yes")? {
            return Err(Error::declined());
        }
        let vault = shell.account.freshly_authenticated_vault().await?;
        for batch in found.removed.chunks(MAX_BATCH) {
            vault
                .commit(|index| Ok::<_, Error>(still(index, batch)))
                .await?;
        }
        if let Some(secret) = found.secret {
            let has_older = |index: &Index| {
                let secret = index.get(&secret);
                secret.is_some_and(|secret| secret.versions.len() > 1)
            };
            let change = |index: &Index| {
                let change = has_older(index).then_some(Change::PurgeVersions { secret });
                Ok::<_, Error>(Vec::from_iter(change))
            };
            vault.commit(change).await?;
        }
        shell.context.out.done(
            &format!("destroyed: {}", found.text()),
            &json!({"secrets": found.removed.len(), "versions": found.versions}),
        )
    }
}

/// Destroys the texts of all notes, also of those that cannot be read.
async fn purge_notes(shell: &mut Shell, is_confirmed: bool) -> Result<()> {
    let notes = shell.account.vault().await?.index().notes().len();
    if notes == 0 {
        shell.context.out.note("there are no notes");
        return Ok(());
    }
    let text = plural(notes, "note");
    let question = format!("Destroy {text} for good?");
    if !is_confirmed && !shell.context.prompt.confirm(&question, "give --yes")? {
        return Err(Error::declined());
    }
    let vault = shell.account.freshly_authenticated_vault().await?;
    while !vault.index().notes().is_empty() {
        let some = |index: &Index| {
            let notes = index.notes().iter().take(MAX_BATCH);
            let purges = notes.map(|note| Change::PurgeNote { seq: note.seq });
            Ok::<_, Error>(purges.collect())
        };
        vault.commit(some).await?;
    }
    let object = json!({"notes": notes});
    shell
        .context
        .out
        .done(&format!("destroyed: {text}"), &object)
}

/// The changes for those that no other device has restored or destroyed since.
fn still(index: &Index, removed: &[SecretId]) -> Vec<Change> {
    let there = removed
        .iter()
        .filter(|id| index.removed_secret(id).is_some());
    there
        .map(|secret| Change::Purge { secret: *secret })
        .collect()
}

/// The content that a `purge` destroys.
struct Found {
    removed: Vec<SecretId>,
    /// The secret that loses its older versions.
    secret: Option<SecretId>,
    /// Number of its older versions.
    versions: usize,
}

impl Found {
    fn new(index: &Index, name: Option<&SecretName>) -> Self {
        let removed = match name {
            Some(name) => removed_called(index, name),
            None => index.removed(),
        };
        let secret = name.and_then(|name| index.find(name));
        Self {
            removed: removed.iter().map(|removed| removed.secret.id).collect(),
            secret: secret.map(|secret| secret.id),
            versions: secret.map_or(0, |secret| secret.versions.len().saturating_sub(1)),
        }
    }

    fn is_empty(&self) -> bool {
        self.removed.is_empty() && self.versions == 0
    }

    fn text(&self) -> String {
        let removed = plural(self.removed.len(), "removed secret");
        let versions = plural(self.versions, "older version");
        match (self.removed.is_empty(), self.versions) {
            (false, 0) => removed,
            (true, _) => versions,
            (false, _) => format!("{removed} and {versions}"),
        }
    }
}

async fn list(shell: &mut Shell) -> Result<()> {
    let out = shell.context.out;
    let index = shell.account.vault().await?.index();
    let removed = index.removed();
    let until = |removed: &RemovedSecret| removed.removed_ms.saturating_add(REMOVED_KEPT_MS);
    if out.is_json() {
        let secrets = removed.iter().map(|removed| {
            json!({
                "name": removed.secret.metadata.name,
                "secret": removed.secret.id,
                "removed_ms": removed.removed_ms,
                "kept_until_ms": until(removed),
            })
        });
        return out.object(&json!({"removed": secrets.collect::<Vec<_>>()}));
    }
    if removed.is_empty() {
        out.note("there are no removed secrets");
        return Ok(());
    }
    let rows = removed.iter().map(|removed| {
        [
            removed.secret.metadata.name.to_string(),
            short_id(&removed.secret.id),
            time::for_reader(removed.removed_ms, out.is_terminal()),
            time::local(until(removed)),
        ]
    });
    out.table(["NAME", "ID", "REMOVED", "KEPT UNTIL"], rows, &[0])
}

/// The beginning of a secret's id, as the list shows it.
fn short_id(id: &SecretId) -> String {
    id.to_string().chars().take(ID_DIGITS).collect()
}

/// The removed secrets of this name, else the one whose id begins with it.
fn removed_called<'a>(index: &'a Index, name: &SecretName) -> Vec<&'a RemovedSecret> {
    let mut removed = index.removed();
    let is_named = |removed: &&RemovedSecret| removed.secret.metadata.name == *name;
    if removed.iter().any(is_named) {
        removed.retain(is_named);
        return removed;
    }
    let may_be_id = name.as_str().len() >= ID_DIGITS && index.find(name).is_none();
    removed.retain(|removed| may_be_id && removed.secret.id.to_string().starts_with(name.as_str()));
    removed
}

/// The removed secret that is meant; of several with one name, the one that was removed last.
fn newest_removed<'a>(index: &'a Index, wanted: &SecretName) -> Result<&'a Secret> {
    let newest = removed_called(index, wanted);
    let newest = newest.into_iter().max_by_key(|removed| removed.removed_ms);
    let name = newest.map_or(wanted, |removed| &removed.secret.metadata.name);
    if index.find(name).is_some() {
        return Err(Error::exists(match newest {
            Some(_) => {
                let named = argument(name.as_str());
                format!(
                    "another secret is named `{name}` now; rename it with `mv {named} NEW`, then restore the removed one"
                )
            }
            None => format!("`{name}` exists and was not removed; `history` lists its versions"),
        }));
    }
    newest
        .map(|removed| &removed.secret)
        .ok_or_else(|| Error::no_such_secret_removed(wanted))
}

async fn restore(shell: &mut Shell, wanted: &SecretName) -> Result<()> {
    let vault = shell.account.vault().await?;
    let mut name = wanted.clone();
    let change = |index: &Index| {
        let secret = newest_removed(index, wanted)?;
        name = secret.metadata.name.clone();
        Ok::<_, Error>(vec![Change::Restore { secret: secret.id }])
    };
    vault.commit(change).await?;
    let object = json!({"name": name, "restored": true});
    shell
        .context
        .out
        .done(&format!("{name}: restored"), &object)
}

/// Stores the value of an older version as the newest version.
async fn store_again(shell: &mut Shell, name: &str, version: Version) -> Result<()> {
    let name = naming::existing(shell, name).await?;
    let vault = shell.account.vault().await?;
    let (secret, info) = value::find_version(vault.index(), &name, Some(version))?;
    let (secret, info) = (secret.id, *info);
    let value = vault.fetch_one(secret, &info).await?;
    let mut stored = version;
    let change = |index: &Index| {
        let now = index
            .get(&secret)
            .ok_or_else(|| Error::no_such_secret(&name))?;
        let newest = now
            .newest()
            .map(|newest| newest.version)
            .unwrap_or_default();
        stored = newest;
        if newest == version {
            return Ok(Vec::new());
        }
        stored = newest.next();
        Ok::<_, Error>(vec![Change::Put {
            secret,
            metadata: Metadata {
                created_ms: None,
                ..now.metadata.clone()
            },
            value: value.clone(),
        }])
    };
    vault.commit(change).await?;
    shell.context.out.done(
        &format!("{name}: version {version} is stored again as version {stored}"),
        &json!({"name": name, "version": stored, "restored": true}),
    )
}
