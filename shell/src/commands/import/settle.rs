//! Decides, before anything is written, what becomes of each secret of a file.

use std::collections::{HashMap, HashSet};

use clap::ValueEnum;
use sha2::{Digest as _, Sha256};
use shared::ids::{Digest, SecretId};

use super::mark::{self, Mark};
use super::prepare::Prepared;
use crate::commands::value;
use crate::error::Error;
use crate::prompt::Prompt;
use crate::vault::Vault;
use crate::vault::index::{Index, Secret, VersionInfo};
use crate::vault::metadata::Metadata;
use crate::vault::names::SecretName;

/// How many values are fetched at once to be compared: at most 1 MiB each.
const COMPARED: usize = 16;

/// What happens to a secret whose name exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnConflict {
    /// It stays outside.
    Skip,
    /// Its versions come after those that exist.
    Replace,
    /// It gets a new name.
    Rename,
    /// Somebody is asked, for each of them.
    Ask,
}

/// What is known of a secret of the file while the others are read.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Its name, as the file has it.
    pub name: SecretName,
    /// SHA-256 of all of it, and of how often the same came before.
    pub digest: Digest,
    /// How many versions it has.
    pub versions: u64,
    content: Content,
}

/// What is compared with a secret of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Content {
    value: Digest,
    metadata: Digest,
}

impl Content {
    fn new(value: &[u8], metadata: &Metadata) -> Self {
        Self {
            value: Digest::of(value),
            metadata: mark::shape(metadata),
        }
    }
}

/// Makes summaries of what is read, one after the other.
#[derive(Debug, Default)]
pub struct Summaries {
    seen: HashMap<Digest, u64>,
    /// In the order of reading.
    pub all: Vec<Summary>,
}

impl Summaries {
    /// The next one.
    pub fn add(&mut self, new: &Prepared) {
        let count = self.seen.entry(new.digest).or_default();
        *count += 1;
        let mut hash = Sha256::new();
        hash.update(new.digest.as_bytes());
        hash.update(count.to_be_bytes());
        let newest = new.versions.last();
        let newest = newest.map(|(_, value)| value.expose()).unwrap_or_default();
        self.all.push(Summary {
            name: new.metadata.name.clone(),
            digest: Digest::new(hash.finalize().into()),
            versions: new.versions.len() as u64,
            content: Content::new(newest, &new.metadata),
        });
    }
}

/// What becomes of a secret of the file.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// A new secret under this name.
    New(SecretName),
    /// New versions of a secret that exists.
    Onto(Box<Secret>),
    /// The last versions of a secret whose first ones an import brought that was broken off.
    Rest(Box<Secret>, u64),
    /// It is here already.
    Unchanged,
    /// It stays outside.
    Skipped,
}

/// Decides about all of them, and says which were given another name.
///
/// # Errors
/// [`Error::Exists`] listing all conflicts where nothing was chosen; those of fetching what is compared.
pub async fn settle(
    vault: &mut Vault,
    prompt: Prompt,
    choice: Option<OnConflict>,
    summaries: &[Summary],
) -> Result<Vec<Decision>, Error> {
    let known = known(vault.index());
    let same = same_content(vault, summaries, &known).await?;
    let index = vault.index();
    let mut settling = Settling {
        index,
        prompt,
        choice,
        taken: HashSet::new(),
        conflicts: Vec::new(),
    };
    let mut decisions = Vec::with_capacity(summaries.len());
    for (place, summary) in summaries.iter().enumerate() {
        let decision = match known.get(&summary.digest) {
            Some((secret, 0)) => {
                settling.taken.insert(secret.metadata.name.clone());
                Decision::Unchanged
            }
            Some((secret, left)) => {
                settling.taken.insert(secret.metadata.name.clone());
                Decision::Rest(Box::new((*secret).clone()), *left)
            }
            None if same.contains(&place) => {
                settling.taken.insert(summary.name.clone());
                Decision::Unchanged
            }
            None => settling.decide(&summary.name)?,
        };
        decisions.push(decision);
    }
    if settling.conflicts.is_empty() {
        return Ok(decisions);
    }
    Err(Error::Exists(format!(
        "nothing was imported, because these names exist: {}; --on-conflict skip, replace, rename or ask decides",
        settling.conflicts.join(", ")
    )))
}

/// What imports brought that is still here, by digest, with the number of versions that are still to come.
fn known(index: &Index) -> HashMap<Digest, (Secret, u64)> {
    let secrets = index.secrets().into_iter();
    let marked = secrets.filter_map(|secret| {
        let mark = Mark::of(&secret.metadata)?;
        Some((mark.digest, (secret.clone(), mark.left)))
    });
    marked.collect()
}

/// Places of those summaries whose secret is here under the same name with the same content, however it came.
async fn same_content(
    vault: &mut Vault,
    summaries: &[Summary],
    known: &HashMap<Digest, (Secret, u64)>,
) -> Result<HashSet<usize>, Error> {
    let mut compared: Vec<(usize, Metadata, (SecretId, VersionInfo))> = Vec::new();
    let mut names = HashSet::new();
    for (place, summary) in summaries.iter().enumerate() {
        if known.contains_key(&summary.digest) || !names.insert(&summary.name) {
            continue;
        }
        let existing = vault.index().find(&summary.name);
        if let Some((secret, newest)) = existing.and_then(|one| Some((one, one.newest()?)))
            && secret.versions.len() as u64 >= summary.versions
        {
            compared.push((place, secret.metadata.clone(), (secret.id, *newest)));
        }
    }
    let mut same = HashSet::new();
    for batch in compared.chunks(COMPARED) {
        let wanted: Vec<_> = batch.iter().map(|(_, _, wanted)| *wanted).collect();
        let values = vault.fetch(&wanted).await?;
        for ((place, metadata, _), value) in batch.iter().zip(values) {
            let Some((value, summary)) = value.zip(summaries.get(*place)) else {
                continue;
            };
            if Content::new(value.expose(), metadata) == summary.content {
                same.insert(*place);
            }
        }
    }
    Ok(same)
}

struct Settling<'a> {
    index: &'a Index,
    prompt: Prompt,
    choice: Option<OnConflict>,
    /// Names that the file has taken already.
    taken: HashSet<SecretName>,
    conflicts: Vec<String>,
}

impl Settling<'_> {
    fn decide(&mut self, name: &SecretName) -> Result<Decision, Error> {
        let existing = self.index.find(name);
        let decision = match existing {
            // Two of one name in a file are two secrets, whatever is chosen for those that exist.
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
            self.taken.insert(name.clone());
        }
        self.taken.insert(name.clone());
        Ok(decision)
    }

    /// What was chosen, or what somebody says; capital letters are for all that follow.
    fn chosen(&mut self, name: &SecretName) -> Result<Option<OnConflict>, Error> {
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

    fn renamed(&self, name: &SecretName) -> Result<Decision, Error> {
        for number in 2..u32::MAX {
            let suffix = format!(" ({number})");
            let room = SecretName::MAX_LEN.saturating_sub(suffix.len());
            let mut len = name.as_str().len().min(room);
            while !name.as_str().is_char_boundary(len) {
                len -= 1;
            }
            let (short, _) = name.as_str().split_at(len);
            let candidate = value::name(&format!("{short}{suffix}"))?;
            if self.index.find(&candidate).is_none() && !self.taken.contains(&candidate) {
                return Ok(Decision::New(candidate));
            }
        }
        Err(Error::Exists(format!("no free name is left for `{name}`")))
    }
}
