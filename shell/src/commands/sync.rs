//! `sync`

use std::collections::BTreeMap;

use clap::Args;
use keyshell_base::time::now_ms;
use keyshell_client::device::local::{LocalSecret, Origin};
use keyshell_client::index::{Index, Secret, VersionInfo};
use serde_json::json;
use shared::ids::{SecretId, Version};
use shared::secret::SecretBytes;

use crate::commands::local;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::line::words::argument;
use crate::shell::Shell;

/// Synchronise this device with the server.
///
/// Copies on this device (`get --save`, `pull`, `sync --save`) are refreshed, and renamed if the secret was renamed. A
/// copy whose secret was removed is kept and listed; `rm NAME --local` removes it.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sync\n  sync --save travel   # copies all secrets with this tag\n  sync --save --all"
)]
pub struct Sync {
    /// Also copy all secrets with this tag, or, with --all, every secret. A later `sync` without --save copies no new
    /// secrets.
    #[arg(
        long = "save",
        id = "tag",
        value_name = "TAG",
        num_args = 0..=1,
        default_missing_value = ""
    )]
    save: Option<String>,
    /// With --save: copy every secret.
    #[arg(long, requires = "tag")]
    all: bool,
}

/// The secrets to copy, and the state of the copies.
#[derive(Default)]
struct Plan {
    /// Secrets whose newest version is not on this device.
    wanted: Vec<(Secret, VersionInfo)>,
    /// Secrets whose newest version is on this device.
    current: Vec<(Secret, VersionInfo)>,
    /// Names of copies whose secret was removed.
    removed: Vec<String>,
}

/// The names of the copies that were changed.
#[derive(Default)]
struct Done {
    saved: Vec<String>,
    refreshed: Vec<String>,
    skipped: Vec<String>,
}

impl Sync {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        if self.save.as_deref() == Some("") && !self.all {
            let text = "--save needs a tag or --all: `sync --save TAG` or `sync --save --all`";
            return Err(Error::usage(text));
        }
        shell.account.vault().await?;
        let kept = shell.account.local_store()?.secrets().to_vec();
        let vault = shell.account.vault().await?;
        let plan = self.plan(vault.index(), &kept);
        let unknown = self.unknown_tag(vault.index()).map(str::to_owned);
        let asked: Vec<(SecretId, VersionInfo)> = plan
            .wanted
            .iter()
            .map(|(secret, info)| (secret.id, *info))
            .collect();
        let values = vault.fetch(&asked).await?;
        let count = vault.index().secrets().len();
        let done = shell
            .account
            .local_store()?
            .change(|secrets| Ok::<_, Error>(keep(secrets, &plan, values)))?;
        if let Some(tag) = unknown {
            shell.context.out.say(&format!(
                "no secret has the tag `{tag}`; `ls --long` shows the tags"
            ));
        }
        report(&shell.context, count, &plan, &done)
    }

    /// The given tag if no secret has it, which may be a typing error.
    fn unknown_tag(&self, index: &Index) -> Option<&str> {
        let tag = self.save.as_deref().filter(|tag| !tag.is_empty())?;
        let secrets = index.secrets();
        let is_known = secrets
            .iter()
            .any(|secret| secret.metadata.tags.iter().any(|t| t == tag));
        (!is_known).then_some(tag)
    }

    fn plan(&self, index: &Index, kept: &[LocalSecret]) -> Plan {
        let copies: BTreeMap<SecretId, (Version, &str)> = kept
            .iter()
            .filter_map(|secret| match secret.origin {
                Origin::Local => None,
                Origin::Saved(id, version) => Some((id, (version, secret.name.as_str()))),
            })
            .collect();
        let mut plan = Plan::default();
        for (id, (_, name)) in &copies {
            if index.get(id).is_none() {
                plan.removed.push((*name).to_owned());
            }
        }
        for secret in index.secrets() {
            let copy = copies.get(&secret.id);
            // If two secrets share a name, only the one that the name resolves to.
            let found = index.find(&secret.metadata.name).map(|found| found.id);
            let Some(newest) = secret.newest().filter(|_| found == Some(secret.id)) else {
                continue;
            };
            match copy {
                Some((version, _)) if *version == newest.version => &mut plan.current,
                Some(_) => &mut plan.wanted,
                None if self.wants(secret) => &mut plan.wanted,
                None => continue,
            }
            .push((secret.clone(), *newest));
        }
        plan
    }

    fn wants(&self, secret: &Secret) -> bool {
        let tag = self.save.as_ref();
        self.all || tag.is_some_and(|tag| secret.metadata.tags.contains(tag))
    }
}

/// Updates the copies in the store's present content. A secret that is only on this device is never replaced, and a
/// value that was removed during the command is not copied.
fn keep(secrets: &mut Vec<LocalSecret>, plan: &Plan, values: Vec<Option<SecretBytes>>) -> Done {
    let mut done = Done::default();
    let fetched = plan.wanted.iter().zip(values);
    let fetched = fetched.filter_map(|((secret, info), value)| Some((secret, info, Some(value?))));
    let current = plan.current.iter();
    let current = current.map(|(secret, info)| (secret, info, None));
    for (secret, info, value) in fetched.chain(current) {
        let name = secret.metadata.name.as_str();
        if secrets
            .iter()
            .any(|known| known.name == name && known.origin == Origin::Local)
        {
            done.skipped.push(name.to_owned());
            continue;
        }
        let is_copy =
            |known: &LocalSecret| matches!(known.origin, Origin::Saved(id, _) if id == secret.id);
        let before = secrets.iter().find(|known| is_copy(known));
        let is_fresh = value.is_none();
        let Some(value) = value.or_else(|| before.map(|known| known.value.clone())) else {
            // Another run removed the copy since the plan was made.
            continue;
        };
        let changed = match before {
            None => Some(&mut done.saved),
            Some(known) if !is_fresh || known.name != name => Some(&mut done.refreshed),
            Some(_) => None,
        };
        if let Some(names) = changed {
            names.push(name.to_owned());
        }
        secrets.retain(|known| !is_copy(known) && known.name != name);
        secrets.push(local::copy(secret, info, value));
    }
    done
}

fn report(context: &Context, count: usize, plan: &Plan, done: &Done) -> Result<()> {
    for name in &plan.removed {
        let named = argument(name.as_str());
        context.out.note(&format!(
            "{name}: removed on the server; the copy is kept; `rm --local {named}` removes it"
        ));
    }
    for name in &done.skipped {
        context.out.say(&format!(
            "{name}: not copied, because this device has a local secret of that name"
        ));
    }
    let object = json!({
        "secrets": count,
        "synced_ms": now_ms(),
        "saved": done.saved,
        "refreshed": done.refreshed,
        "removed": plan.removed,
        "skipped": done.skipped,
    });
    context.out.done(&format!(
        "up to date: {count} secrets on the server; copies on this device: {} new, {} refreshed",
        done.saved.len(),
        done.refreshed.len()
    ), &object)?;
    if done.skipped.is_empty() {
        return Ok(());
    }
    Err(Error::Partial(format!(
        "not copied: {}; rename the local secrets with `mv NAME NEW --local`, then `sync` again",
        done.skipped.join(", ")
    )))
}
