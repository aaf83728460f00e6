//! `import undo`

use clap::Args;
use keyshell_base::names::SecretName;
use keyshell_base::text::plural;
use keyshell_client::index::metadata::Metadata;
use keyshell_client::index::{Index, Secret, VersionInfo};
use keyshell_client::vault::Vault;
use keyshell_client::vault::commit::Change;
use keyshell_formats::item::Loss;
use serde_json::json;
use shared::ids::{SecretId, Version};
use shared::wire::limits::MAX_BATCH;

use super::provenance::Mark;
use crate::commands::losses;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::shell::Shell;
use crate::time;

/// Values per request, each at most 1 MiB.
const VALUES: usize = 2;

/// Revert the last import with new log entries: remove new secrets, and restore value, tags and note of replaced ones.
///
/// Secrets that were changed after the import are kept and listed.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  import undo\n  import undo --yes")]
pub struct Undo {
    /// Do not ask for confirmation.
    #[arg(long, short)]
    yes: bool,
}

/// How a secret of the import is reverted.
enum Step {
    Remove,
    /// The value of this version is written again.
    Restore(VersionInfo, Box<Former>),
    /// The secret was changed after the import and is kept.
    Keep,
}

/// The metadata to restore, or those of the import if the former ones were not kept.
struct Former {
    metadata: Metadata,
    is_known: bool,
}

/// The secrets of the import by step.
#[derive(Default)]
struct Plan {
    remove: Vec<SecretId>,
    restore: Vec<(SecretId, VersionInfo)>,
    keep: Vec<SecretName>,
}

/// The result.
#[derive(Default)]
struct Done {
    removed: usize,
    restored: usize,
    /// Names of the secrets that were changed after the import.
    kept: Vec<SecretName>,
    lost: Vec<Loss>,
}

impl Undo {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<()> {
        let vault = shell.account.vault().await?;
        let Some((import, began_ms)) = last(vault.index()) else {
            return Err(Error::failed("there is no import to revert"));
        };
        let plan = plan(vault.index(), &import);
        let when = time::for_reader(began_ms, true);
        let question = format!(
            "Revert the import of {when}: remove {}, restore {}?",
            plural(plan.remove.len(), "secret"),
            plural(plan.restore.len(), "secret")
        );
        if !self.yes && !shell.context.prompt.confirm(&question, "give --yes")? {
            shell.context.out.note("nothing was changed");
            return Ok(());
        }
        let vault = shell.account.vault().await?;
        let mut done = Done {
            kept: plan.keep,
            ..Done::default()
        };
        restore(vault, &import, &plan.restore, &mut done).await?;
        remove(vault, &import, &plan.remove, &mut done).await?;
        report(&shell.context, &import, &done)
    }
}

fn report(context: &Context, import: &str, done: &Done) -> Result<()> {
    let Done {
        removed,
        restored,
        kept,
        lost,
    } = done;
    for name in kept {
        context.out.say(&format!(
            "{name}: kept, because it was changed after the import"
        ));
    }
    for loss in lost {
        context.out.say(&format!("not restored: {loss}"));
    }
    context.out.done(&format!(
        "{} removed, {restored} restored",
        plural(*removed, "secret")
    ), &json!({"removed": removed, "restored": restored, "kept": kept, "lost": lost, "import": import}))?;
    losses::partial(kept.len() + lost.len(), "reverted")
}

fn last(index: &Index) -> Option<(String, u64)> {
    let secrets = index.secrets().into_iter();
    let marks = secrets.filter_map(|secret| Mark::of(&secret.metadata));
    let last = marks.max_by_key(|mark| mark.began_ms)?;
    Some((last.import, last.began_ms))
}

fn plan(index: &Index, import: &str) -> Plan {
    let mut plan = Plan::default();
    for secret in index.secrets() {
        match step(secret, import) {
            None => {}
            Some(Step::Remove) => plan.remove.push(secret.id),
            Some(Step::Restore(info, _)) => plan.restore.push((secret.id, info)),
            Some(Step::Keep) => plan.keep.push(secret.metadata.name.clone()),
        }
    }
    plan
}

/// How a secret is reverted; `None` if it is not of this import.
fn step(secret: &Secret, import: &str) -> Option<Step> {
    let mark = Mark::of(&secret.metadata).filter(|mark| mark.import == import)?;
    let newest = secret.newest()?.version;
    if newest.0 != mark.version || !Mark::is_untouched(&secret.metadata) {
        return Some(Step::Keep);
    }
    let Some((version, former)) = mark.before else {
        return Some(Step::Remove);
    };
    let Some(info) = secret.version(Some(Version(version))) else {
        return Some(Step::Keep);
    };
    let is_known = former.is_some();
    let mut metadata = former.unwrap_or_else(|| {
        let mut metadata = secret.metadata.clone();
        Mark::clear(&mut metadata);
        metadata
    });
    // Keeps the mark of the previous import valid, so that it can be reverted too.
    Mark::follow(&mut metadata, version, newest.next().0);
    let former = Former { metadata, is_known };
    Some(Step::Restore(*info, Box::new(former)))
}

/// Restores the secrets that the import replaced, except for those that another device changed during the command.
async fn restore(
    vault: &mut Vault,
    import: &str,
    planned: &[(SecretId, VersionInfo)],
    all: &mut Done,
) -> Result<()> {
    for batch in planned.chunks(VALUES) {
        let values = vault.fetch(batch).await?;
        let mut done = Done::default();
        vault
            .commit(|index| {
                done = Done::default();
                let values = batch.iter().zip(&values);
                let changes = values.filter_map(|((id, info), value)| {
                    let secret = index.get(id)?;
                    let name = secret.metadata.name.clone();
                    match (step(secret, import), value) {
                        (Some(Step::Restore(now, former)), Some(value)) if now == *info => {
                            done.restored += 1;
                            if !former.is_known {
                                let what = "former tags and note, because the import had no room to keep them";
                                done.lost.push(Loss::new(name.to_string(), what));
                            }
                            Some(Change::Put {
                                secret: *id,
                                metadata: former.metadata,
                                value: value.clone(),
                            })
                        }
                        _ => {
                            done.kept.push(name);
                            None
                        }
                    }
                });
                Ok::<_, Error>(changes.collect())
            })
            .await?;
        all.add(done);
    }
    Ok(())
}

/// Removes the secrets that the import created, except for those that another device changed during the command.
async fn remove(
    vault: &mut Vault,
    import: &str,
    planned: &[SecretId],
    all: &mut Done,
) -> Result<()> {
    for batch in planned.chunks(MAX_BATCH) {
        let mut done = Done::default();
        vault
            .commit(|index| {
                done = Done::default();
                let left = batch.iter().filter_map(|id| index.get(id));
                let changes = left.filter_map(|secret| {
                    if !matches!(step(secret, import), Some(Step::Remove)) {
                        done.kept.push(secret.metadata.name.clone());
                        return None;
                    }
                    done.removed += 1;
                    Some(Change::Remove { secret: secret.id })
                });
                Ok::<_, Error>(changes.collect())
            })
            .await?;
        all.add(done);
    }
    Ok(())
}

impl Done {
    fn add(&mut self, other: Self) {
        self.removed += other.removed;
        self.restored += other.restored;
        self.kept.extend(other.kept);
        self.lost.extend(other.lost);
    }
}
