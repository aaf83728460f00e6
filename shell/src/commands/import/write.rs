//! Writes the secrets of an import in batches: one request per batch, one log entry per version.

use std::collections::HashMap;

use keyshell_base::time::now_ms;
use keyshell_client::frontend::Progress as _;
use keyshell_client::index::Index;
use keyshell_client::vault::Vault;
use keyshell_client::vault::commit::Change;
use rand::RngCore as _;
use rand::rngs::OsRng;
use shared::ids::{Digest, SecretId};
use shared::wire::limits::MAX_BATCH;

use super::decision::{Decision, Summary};
use super::prepare::Prepared;
use super::provenance::{self, Mark};
use crate::commands::value;
use crate::error::{Error, Result};
use crate::output::Output;
use crate::progress::Progress;

/// Most bytes of values in one request; with padding and entries they stay below the longest request body.
const MAX_REQUEST: usize = 2 * 1024 * 1024;
/// Most bytes of an entry besides value and metadata.
const ENTRY: usize = 1024;

/// The identity of an import.
#[derive(Debug, Clone)]
pub struct Begun {
    /// Id of the import.
    pub id: String,
    /// Start of the import, in milliseconds since 1970-01-01 UTC.
    pub ms: u64,
    /// SHA-256 over the content of the files.
    pub files: Digest,
}

impl Begun {
    /// The interrupted import of these files, or a new one.
    pub fn or_fresh(index: &Index, files: Digest) -> Self {
        let mut imports: HashMap<String, (u64, u64)> = HashMap::new();
        let secrets = index.secrets().into_iter();
        for mark in secrets.filter_map(|secret| Mark::of(&secret.metadata)) {
            if mark.files == Some(files) {
                let import = imports.entry(mark.import);
                let (_, to_come) = import.or_insert((mark.began_ms, mark.to_come));
                *to_come = mark.to_come.min(*to_come);
            }
        }
        let unfinished = imports.into_iter().filter(|(_, (_, to_come))| *to_come > 0);
        let newest = unfinished.max_by_key(|(_, (ms, _))| *ms);
        let (id, ms) = newest.map_or_else(|| (fresh_id(), now_ms()), |(id, (ms, _))| (id, ms));
        Self { id, ms, files }
    }
}

fn fresh_id() -> String {
    let mut id = [0; 16];
    OsRng.fill_bytes(&mut id);
    data_encoding::HEXLOWER.encode(&id)
}

/// An import in progress.
pub struct Writer<'a> {
    vault: &'a mut Vault,
    import: Begun,
    batch: Vec<Change>,
    size: usize,
    progress: Progress,
    done: u64,
    total: u64,
    /// Versions that were not added yet.
    to_come: u64,
    out: Output,
    is_finished: bool,
}

impl<'a> Writer<'a> {
    /// Begins an import of `total` versions.
    pub fn new(
        vault: &'a mut Vault,
        (out, progress): (Output, Progress),
        import: Begun,
        total: u64,
    ) -> Self {
        Self {
            vault,
            import,
            to_come: total,
            batch: Vec::new(),
            size: 0,
            progress,
            done: 0,
            total,
            out,
            is_finished: false,
        }
    }

    /// Adds the next secret, and commits full batches.
    ///
    /// # Errors
    /// Those of a commit. Committed versions are kept, and importing the same files again continues after them.
    pub async fn add(
        &mut self,
        new: Prepared,
        summary: &Summary,
        decision: &Decision,
    ) -> Result<()> {
        let mut mark = Mark {
            import: self.import.id.clone(),
            began_ms: self.import.ms,
            files: Some(self.import.files),
            to_come: 0,
            digest: summary.digest,
            left: new.versions.len() as u64,
            version: 0,
            before: None,
        };
        let mut metadata = new.metadata;
        let (secret, skip) = match decision {
            Decision::New(name) => {
                metadata.name = name.clone();
                (SecretId::random(), 0)
            }
            Decision::Onto(secret) => {
                let newest = secret.newest().map(|info| info.version).unwrap_or_default();
                mark.version = newest.0;
                let former = Mark::former(&secret.metadata, summary.room);
                mark.before = Some((newest.0, former));
                (secret.id, 0)
            }
            Decision::Rest(secret, left) => {
                metadata.name = secret.metadata.name.clone();
                mark.before = Mark::of(&secret.metadata).and_then(|mark| mark.before);
                mark.version = mark.before.as_ref().map_or(0, |(version, _)| *version);
                (secret.id, mark.left.saturating_sub(*left))
            }
            Decision::Unchanged(_) | Decision::Skipped => return Ok(()),
        };
        if let Some(bond) = &summary.bond {
            bond.tie(&mut metadata.other);
        }
        for (number, (created_ms, value)) in (1..).zip(new.versions) {
            mark.left -= 1;
            mark.version += 1;
            if number <= skip {
                continue;
            }
            let mut metadata = metadata.clone();
            self.to_come = self.to_come.saturating_sub(1);
            mark.to_come = self.to_come;
            if provenance::fits(summary.room) {
                metadata.created_ms = created_ms.or(Some(self.import.ms));
                mark.put(&mut metadata);
            }
            self.push(Change::Put {
                secret,
                metadata,
                value,
            })
            .await?;
        }
        Ok(())
    }

    async fn push(&mut self, change: Change) -> Result<()> {
        let len = size(&change);
        if self.batch.len() >= MAX_BATCH || self.size + len > MAX_REQUEST {
            self.commit().await?;
        }
        self.size += len;
        self.batch.push(change);
        Ok(())
    }

    async fn commit(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        self.size = 0;
        self.vault
            .commit(|index| still_possible(index, &batch))
            .await?;
        self.done += batch.len() as u64;
        self.progress.reach(self.done, self.total);
        Ok(())
    }

    /// Commits the last batch.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub async fn finish(mut self) -> Result<()> {
        self.commit().await?;
        self.is_finished = true;
        Ok(())
    }
}

/// Reports an interrupted import, by an error or by Ctrl-C.
impl Drop for Writer<'_> {
    fn drop(&mut self) {
        if !self.is_finished {
            let (done, total) = (self.done, self.total);
            self.out.say(&format!(
                "import interrupted: at least {done} of {total} versions are stored; run the same import again to continue"
            ));
        }
    }
}

fn size(change: &Change) -> usize {
    match change {
        Change::Put {
            value, metadata, ..
        } => value.len() + metadata.encode().map_or(0, |encoded| encoded.len()) + ENTRY,
        _ => ENTRY,
    }
}

/// The batch, unless another device took a name or removed a secret after the decisions were made.
fn still_possible(index: &Index, batch: &[Change]) -> Result<Vec<Change>> {
    for change in batch {
        if let Change::Put {
            secret, metadata, ..
        } = change
        {
            let taken = index.find(&metadata.name);
            if taken.is_some_and(|known| known.id != *secret) {
                return Err(value::exists(&metadata.name));
            }
            if index.was_removed(secret) {
                let text = format!(
                    "`{}` was removed by another device during the import; run the same import again to continue",
                    metadata.name
                );
                return Err(Error::exists(text));
            }
        }
    }
    Ok(batch.to_vec())
}
