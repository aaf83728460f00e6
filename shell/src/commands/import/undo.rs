//! `import undo`

use clap::Args;
use serde_json::json;
use shared::ids::{SecretId, Version};
use shared::wire::limits::MAX_BATCH;

use super::mark::Mark;
use crate::error::Error;
use crate::output::plural;
use crate::shell::Shell;
use crate::time;
use crate::vault::commit::Change;
use crate::vault::index::{Index, Secret, VersionInfo};
use crate::vault::metadata::Metadata;

/// How many values are written in one request: each has at most 1 MiB.
const VALUES: usize = 2;

/// Take the last import back: what it brought is removed, and what it replaced gets its value, tags and note again, as new
/// entries of the log. What was changed since stays as it is.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  import undo\n  import undo --yes")]
pub struct Undo {
    /// Do not ask.
    #[arg(long, short)]
    yes: bool,
}

/// What has to be done.
#[derive(Default)]
struct Plan {
    remove: Vec<SecretId>,
    restore: Vec<(SecretId, VersionInfo, Metadata)>,
    /// Names of what was changed since.
    kept: Vec<String>,
}

impl Undo {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<(), Error> {
        let vault = shell.vault().await?;
        let Some((import, began_ms)) = last(vault.index()) else {
            return Err(Error::Failed("there is no import to take back".into()));
        };
        let plan = plan(vault.index(), &import);
        let when = time::for_reader(began_ms, true);
        let question = format!(
            "Take back the import of {when}: remove {}, put {} back to what they were?",
            plural(plan.remove.len(), "secret"),
            plan.restore.len()
        );
        if !self.yes && !shell.prompt.confirm(&question, "give --yes")? {
            shell.out.note("nothing was changed");
            return Ok(());
        }
        let (removed, restored) = (plan.remove.len(), plan.restore.len());
        carry_out(shell, &plan).await?;
        for name in &plan.kept {
            shell
                .out
                .say(&format!("{name}: changed since, it stays as it is"));
        }
        shell.out.note(&format!(
            "{} removed, {restored} put back to what they were",
            plural(removed, "secret")
        ));
        shell.out.either(
            &json!({"removed": removed, "restored": restored, "kept": plan.kept, "import": import}),
            "",
        )
    }
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
        let Some(mark) = Mark::of(&secret.metadata).filter(|mark| mark.import == import) else {
            continue;
        };
        if is_changed(secret, &mark) {
            plan.kept.push(secret.metadata.name.to_string());
            continue;
        }
        match mark.before {
            None => plan.remove.push(secret.id),
            Some((version, former)) => {
                let Some(info) = secret.version(Some(Version(version))) else {
                    continue;
                };
                let mut metadata = former.unwrap_or_else(|| secret.metadata.clone());
                Mark::clear(&mut metadata);
                plan.restore.push((secret.id, *info, metadata));
            }
        }
    }
    plan
}

fn is_changed(secret: &Secret, mark: &Mark) -> bool {
    let newest = secret.newest().map(|info| info.version.0);
    newest != Some(mark.version) || !Mark::is_untouched(&secret.metadata)
}

async fn carry_out(shell: &mut Shell, plan: &Plan) -> Result<(), Error> {
    let vault = shell.vault().await?;
    for batch in plan.restore.chunks(VALUES) {
        let wanted: Vec<_> = batch.iter().map(|(id, info, _)| (*id, *info)).collect();
        let values = vault.fetch(&wanted).await?;
        let puts = batch
            .iter()
            .zip(values)
            .filter_map(|((id, _, metadata), value)| {
                Some(Change::Put {
                    secret: *id,
                    metadata: metadata.clone(),
                    value: value?,
                })
            });
        let puts: Vec<_> = puts.collect();
        vault.commit(|_| Ok(puts.clone())).await?;
    }
    for batch in plan.remove.chunks(MAX_BATCH) {
        vault
            .commit(|index| {
                // Another device may have removed some.
                let left = batch.iter().filter(|id| index.get(id).is_some());
                Ok(left.map(|id| Change::Remove { secret: *id }).collect())
            })
            .await?;
    }
    Ok(())
}
