//! Decides for each secret of a file, before anything is written, how it is imported.

use std::collections::{HashMap, HashSet};

use clap::ValueEnum;
use keyshell_base::names::SecretName;
use keyshell_client::index::{Index, Secret};
use keyshell_client::vault::Vault;
use shared::ids::{Digest, SecretId};

use super::decision::{Content, Decision, Summary, of};
use super::numbers::Taken;
use super::provenance::{self, Mark};
use crate::error::{Error, Result};
use crate::prompt::Prompt;

/// Values per request of a comparison, each at most 1 MiB.
const COMPARED: usize = 16;

/// Loss of a secret whose metadata leave no room for the provenance of the import.
pub const NO_ROOM: &str = "creation time and provenance, because its metadata leave no room for them; `import undo` will not remove it";
/// Loss of a secret whose former metadata have no room besides the new ones.
pub const NO_FORMER: &str = "former tags and note, because the new ones leave no room for them; `import undo` will restore only its value";

/// How to import a secret whose name exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnConflict {
    /// Do not import it.
    Skip,
    /// Add its versions to the existing secret.
    Replace,
    /// Import it under a new name.
    Rename,
    /// Ask for each conflict.
    Ask,
}

/// Decides for all secrets of the files.
///
/// # Errors
/// [`Error::exists`] with all conflicts if `choice` is `None`; those of fetching the values to compare.
pub async fn decide(
    vault: &mut Vault,
    prompt: Prompt,
    choice: Option<OnConflict>,
    summaries: &[Summary],
) -> Result<Vec<Decision>> {
    let known = known(vault.index());
    let same = same_content(vault, summaries, &known).await?;
    let index = vault.index();
    let mut decider = Decider {
        index,
        prompt,
        choice,
        taken: Taken::default(),
        conflicts: Vec::new(),
    };
    let mut decisions = Vec::with_capacity(summaries.len());
    for (place, summary) in summaries.iter().enumerate() {
        let decision = match known.get(&summary.digest) {
            Some((secret, left)) => {
                decider.taken.insert(&secret.metadata.name);
                match left {
                    0 => Decision::Unchanged(secret.id),
                    left => Decision::Rest(Box::new(secret.clone()), *left),
                }
            }
            None => match same.get(&place) {
                Some(id) => {
                    decider.taken.insert(&summary.name);
                    Decision::Unchanged(*id)
                }
                None => decider.decide(&summary.name)?,
            },
        };
        decisions.push(decision);
    }
    if decider.conflicts.is_empty() {
        return Ok(decisions);
    }
    Err(Error::exists(format!(
        "nothing was imported, because these names exist: {}; give --on-conflict skip, replace, rename or ask",
        decider.conflicts.join(", ")
    )))
}

/// Checks, before anything is written, that a new name and the attachment links fit into the metadata of each secret.
///
/// # Errors
/// [`Error::limit`].
pub fn check_room(summaries: &[Summary], decisions: &[Decision]) -> Result<()> {
    for (summary, decision) in summaries.iter().zip(decisions) {
        let name = match decision {
            Decision::New(name) => name,
            Decision::Onto(secret) | Decision::Rest(secret, _) => &secret.metadata.name,
            Decision::Unchanged(_) | Decision::Skipped => continue,
        };
        let own = summary.name.as_str().len();
        let longer = name.as_str().len().saturating_sub(own);
        let bond = summary.bond.as_ref().map_or(0, |bond| bond.longer);
        // Metadata with room for the provenance have room for a name and links too.
        if !provenance::fits(summary.room) && longer + bond > summary.room {
            let text = format!(
                "`{}`: its tags, note and fields leave no room for the new name; nothing was imported; shorten them in the file",
                summary.name
            );
            return Err(Error::limit(text));
        }
    }
    Ok(())
}

/// The imported secrets of the vault by digest, with the number of their versions that are not imported yet.
fn known(index: &Index) -> HashMap<Digest, (Secret, u64)> {
    let secrets = index.secrets().into_iter();
    let marked = secrets.filter_map(|secret| {
        let mark = Mark::of(&secret.metadata)?;
        Some((mark.digest, (secret.clone(), mark.left)))
    });
    marked.collect()
}

/// The summaries, by position, whose secret exists under the same name with the same content: the same newest value,
/// and before it all earlier values of the file in their order. The origin of the existing secret does not matter.
async fn same_content(
    vault: &mut Vault,
    summaries: &[Summary],
    known: &HashMap<Digest, (Secret, u64)>,
) -> Result<HashMap<usize, SecretId>> {
    let mut compared: Vec<(usize, &Content, Secret)> = Vec::new();
    let mut names = HashSet::new();
    for (place, summary) in summaries.iter().enumerate() {
        if known.contains_key(&summary.digest) || !names.insert(&summary.name) {
            continue;
        }
        let existing = vault.index().find(&summary.name);
        if let Some(secret) = existing
            && secret.versions.len() as u64 >= summary.versions
            && provenance::shape(&secret.metadata) == summary.content.metadata
        {
            compared.push((place, &summary.content, secret.clone()));
        }
    }
    let mut same = HashMap::new();
    for batch in compared.chunks(COMPARED) {
        let newest = batch.iter().map(|(_, _, secret)| secret);
        let wanted = newest.filter_map(|secret| Some((secret.id, *secret.newest()?)));
        let values = vault.fetch(&wanted.collect::<Vec<_>>()).await?;
        for ((place, content, secret), value) in batch.iter().zip(values) {
            if value.is_some_and(|value| of(&value) == content.newest)
                && has_earlier(vault, secret, &content.earlier).await?
            {
                same.insert(*place, secret.id);
            }
        }
    }
    Ok(same)
}

/// Whether the values before the newest one contain the expected values in this order.
async fn has_earlier(vault: &mut Vault, secret: &Secret, expected: &[Digest]) -> Result<bool> {
    let mut expected = expected.iter().peekable();
    let earlier = secret.versions.split_last().map(|(_, earlier)| earlier);
    for batch in earlier.unwrap_or_default().chunks(COMPARED) {
        if expected.peek().is_none() {
            break;
        }
        let wanted: Vec<_> = batch.iter().map(|info| (secret.id, *info)).collect();
        for value in vault.fetch(&wanted).await?.into_iter().flatten() {
            expected.next_if(|digest| **digest == of(&value));
        }
    }
    Ok(expected.peek().is_none())
}

struct Decider<'a> {
    index: &'a Index,
    prompt: Prompt,
    choice: Option<OnConflict>,
    taken: Taken,
    conflicts: Vec<String>,
}

impl Decider<'_> {
    fn decide(&mut self, name: &SecretName) -> Result<Decision> {
        let existing = self.index.find(name);
        let decision = match existing {
            // Two secrets of one name in a file are always imported as two, whatever the choice for existing names.
            _ if self.taken.contains(name) => self.renamed(name)?,
            None => Decision::New(name.clone()),
            Some(secret) => match self.chosen(name)? {
                Some(OnConflict::Skip) => Decision::Skipped,
                Some(OnConflict::Replace) => Decision::Onto(Box::new(secret.clone())),
                Some(OnConflict::Rename | OnConflict::Ask) => self.renamed(name)?,
                None => {
                    self.conflicts.push(name.to_string());
                    Decision::Skipped
                }
            },
        };
        if let Decision::New(name) = &decision {
            self.taken.insert(name);
        }
        self.taken.insert(name);
        Ok(decision)
    }

    /// The given choice, or the user's answer; a capital letter also answers for all following conflicts.
    fn chosen(&mut self, name: &SecretName) -> Result<Option<OnConflict>> {
        while self.choice == Some(OnConflict::Ask) {
            let question =
                format!("`{name}` exists: skip, replace or rename? [s/r/n, S/R/N for all] ");
            let answer = self.prompt.line(&question, "give --on-conflict")?;
            let answer = answer.trim();
            let choice = match answer.to_lowercase().as_str() {
                "s" | "skip" => OnConflict::Skip,
                "r" | "replace" => OnConflict::Replace,
                "n" | "rename" => OnConflict::Rename,
                _ => continue,
            };
            if answer.starts_with(char::is_uppercase) {
                self.choice = Some(choice);
            }
            return Ok(Some(choice));
        }
        Ok(self.choice)
    }

    fn renamed(&mut self, name: &SecretName) -> Result<Decision> {
        let index = self.index;
        let free = self.taken.numbered(name, |name| index.find(name).is_none());
        free.map(Decision::New)
    }
}
