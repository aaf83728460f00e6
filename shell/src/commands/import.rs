//! `import`

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use rmpv::Value;
use serde_json::json;
use shared::ids::SecretId;
use shared::secret::SecretBytes;
use shared::wire::limits::MAX_BATCH;

use crate::commands::value;
use crate::error::Error;
use crate::files;
use crate::formats::vault::{SecretDocument, VaultDocument};
use crate::formats::{self, Detected, Portable, age_file};
use crate::passphrase;
use crate::progress::Progress;
use crate::shell::Shell;
use crate::time;
use crate::vault::commit::Change;
use crate::vault::index::Index;
use crate::vault::metadata::{Metadata, MetadataError};
use crate::vault::names::SecretName;

/// Longest file, in bytes.
const MAX_FILE: u64 = 1 << 30;
/// Values of one request, in bytes: with padding and entries they stay below the longest body.
const MAX_REQUEST: usize = 2 * 1024 * 1024;

/// What an entry takes beside value and metadata, at most, in bytes.
const ENTRY: usize = 1024;

/// What happens to a secret whose name exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum OnConflict {
    /// It stays outside.
    Skip,
    /// Its versions come after those that exist.
    Replace,
    /// It gets a new name.
    Rename,
}

/// Bring secrets in from files.
///
/// Whole vaults (our JSON, plain or in an age file) and single secrets (our JSON) are known by their content; anything
/// else is the value itself, unless --format says otherwise.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  import vault.age --on-conflict skip --dry-run\n  import server.key --name prod/tls"
)]
pub struct Import {
    /// The files.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Read single secrets in this format: raw, hex, base64, base64url, len, len32, json.
    #[arg(long, value_name = "F")]
    format: Option<String>,
    /// Name of the secret, where the file does not hold one; else the file's name.
    #[arg(long)]
    name: Option<String>,
    /// Only show what would happen.
    #[arg(long)]
    dry_run: bool,
    /// What to do with names that exist; without it nothing is imported then.
    #[arg(long, value_name = "WHAT")]
    on_conflict: Option<OnConflict>,
    /// Read the passphrase of age files from the first line of this file.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

/// One secret on its way in.
#[derive(Debug, Clone)]
struct Incoming {
    metadata: Metadata,
    versions: Vec<(Option<u64>, SecretBytes)>,
    /// Set where its versions come after those of a secret that exists.
    onto: Option<SecretId>,
}

impl Import {
    pub(super) async fn run(self, shell: &mut Shell) -> Result<(), Error> {
        let mut progress = Progress::new("importing", 0);
        let mut incoming = Vec::new();
        for path in &self.files {
            incoming.extend(self.read(shell, path)?);
        }
        let found = incoming.len();
        let vault = shell.vault().await?;
        let incoming = self.settle(vault.index(), incoming)?;
        let names: Vec<String> = incoming
            .iter()
            .map(|new| new.metadata.name.to_string())
            .collect();
        let versions: usize = incoming.iter().map(|new| new.versions.len()).sum();
        let skipped = found - incoming.len();
        if !self.dry_run {
            let batches = batches(changes(incoming));
            let total = versions as u64;
            let mut done = 0;
            for batch in batches {
                vault.commit(|index| still_free(index, &batch)).await?;
                done += batch.len() as u64;
                progress.reach(done, total);
            }
        }
        let done = if self.dry_run {
            "would be imported"
        } else {
            "imported"
        };
        let object = json!({
            "imported": names, "versions": versions, "skipped": skipped, "dry_run": self.dry_run,
        });
        let count = names.len();
        shell.out.note(&format!(
            "{count} secrets in {versions} versions {done}, {skipped} skipped"
        ));
        if !self.dry_run {
            shell.out.note(
                "the file still holds what was imported: destroy it if nobody else should read it",
            );
        }
        let listed = if self.dry_run {
            names.join("\n")
        } else {
            String::new()
        };
        shell.out.either(&object, &listed)
    }

    fn read(&self, shell: &Shell, path: &Path) -> Result<Vec<Incoming>, Error> {
        let doing = format!("reading {}", path.display());
        let mut content =
            files::read_existing(path, MAX_FILE).map_err(|error| Error::io(&doing, &error))?;
        let bad = |error: formats::FormatError| {
            Error::Failed(format!("{}: {error}; nothing was imported", path.display()))
        };
        if self.format.is_none() && formats::detect(content.expose()) == Detected::Age {
            let passphrase = passphrase::get(shell, self.passphrase_file.as_deref())?;
            content = age_file::open(content.expose(), &passphrase).map_err(bad)?;
        }
        let format = match &self.format {
            Some(name) => formats::named(name)?,
            None => match formats::detect(content.expose()) {
                Detected::Vault => {
                    let document = VaultDocument::decode(content.expose()).map_err(bad)?;
                    return document.secrets.into_iter().map(from_document).collect();
                }
                Detected::Secret => formats::named("json")?,
                Detected::Age | Detected::Other => formats::named("raw")?,
            },
        };
        let portable = format.decode(content.expose()).map_err(bad)?;
        Ok(vec![self.incoming(path, portable)?])
    }

    fn incoming(&self, path: &Path, secret: Portable) -> Result<Incoming, Error> {
        let file_name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let name = self
            .name
            .clone()
            .or(secret.name)
            .or(file_name)
            .unwrap_or_default();
        let mut metadata = Metadata::named(value::name(&name)?);
        metadata.set_tags(secret.tags);
        metadata.note = secret.note;
        metadata.content_type = secret.content_type;
        Ok(Incoming {
            metadata,
            versions: vec![(None, secret.value)],
            onto: None,
        })
    }

    /// Decides about names that exist, before anything is written.
    fn settle(&self, index: &Index, incoming: Vec<Incoming>) -> Result<Vec<Incoming>, Error> {
        let mut settled: Vec<Incoming> = Vec::with_capacity(incoming.len());
        let mut conflicts = Vec::new();
        let mut taken = std::collections::HashSet::new();
        for mut new in incoming {
            let name = new.metadata.name.clone();
            let existing = index.find(&name).map(|secret| secret.id);
            if existing.is_some() || taken.contains(&name) {
                match self.on_conflict {
                    None => conflicts.push(name.to_string()),
                    Some(OnConflict::Skip) => continue,
                    Some(OnConflict::Replace) if existing.is_none() => {
                        conflicts.push(name.to_string());
                    }
                    Some(OnConflict::Replace) => new.onto = existing,
                    Some(OnConflict::Rename) => {
                        new.metadata.name = free_name(&name, |candidate| {
                            index.find(candidate).is_none() && !taken.contains(candidate)
                        })?;
                    }
                }
            }
            taken.insert(new.metadata.name.clone());
            settled.push(new);
        }
        if conflicts.is_empty() {
            return Ok(settled);
        }
        Err(Error::Exists(format!(
            "nothing was imported, because these names exist: {}; --on-conflict skip, replace or rename decides",
            conflicts.join(", ")
        )))
    }
}

fn from_document(document: SecretDocument) -> Result<Incoming, Error> {
    let mut metadata = Metadata::named(value::name(&document.name)?);
    metadata.set_tags(document.tags);
    metadata.note = document.note;
    metadata.content_type = document.content_type;
    for (key, encoded) in document.fields {
        let bad = || Error::Failed(format!("`{}`: field `{key}` is malformed", document.name));
        let bytes = data_encoding::BASE64
            .decode(encoded.as_bytes())
            .map_err(|_| bad())?;
        let mut rest = bytes.as_slice();
        let value: Value =
            rmpv::decode::read_value_with_max_depth(&mut rest, 16).map_err(|_| bad())?;
        if !rest.is_empty() {
            return Err(bad());
        }
        metadata.other.insert(key, value);
    }
    // What could not be read back must not come into the log; before anything of the file is written.
    if metadata.encode() == Err(MetadataError::Malformed) {
        let text = format!(
            "`{}`: its fields are malformed; nothing was imported",
            document.name
        );
        return Err(Error::Failed(text));
    }
    let versions = document
        .versions
        .into_iter()
        .map(|version| (Some(version.created_ms), version.value.0));
    Ok(Incoming {
        metadata,
        versions: versions.collect(),
        onto: None,
    })
}

fn free_name(
    name: &SecretName,
    is_free: impl Fn(&SecretName) -> bool,
) -> Result<SecretName, Error> {
    for number in 2..u32::MAX {
        let candidate = value::name(&format!("{name} ({number})"))?;
        if is_free(&candidate) {
            return Ok(candidate);
        }
    }
    Err(Error::Exists(format!("no free name is left for `{name}`")))
}

fn changes(incoming: Vec<Incoming>) -> Vec<Change> {
    let mut changes = Vec::new();
    for new in incoming {
        let secret = new.onto.unwrap_or_else(SecretId::random);
        for (created_ms, value) in new.versions {
            let mut metadata = new.metadata.clone();
            metadata.created_ms = created_ms.or(Some(time::now_ms()));
            changes.push(Change::Put {
                secret,
                metadata,
                value,
            });
        }
    }
    changes
}

fn batches(changes: Vec<Change>) -> Vec<Vec<Change>> {
    let mut batches: Vec<Vec<Change>> = Vec::new();
    let mut size = 0;
    for change in changes {
        let len = match &change {
            Change::Put {
                value, metadata, ..
            } => value.len() + metadata.encode().map_or(0, |encoded| encoded.len()) + ENTRY,
            Change::Describe { .. } | Change::Remove { .. } => 0,
        };
        size += len;
        match batches.last_mut() {
            Some(batch) if batch.len() < MAX_BATCH && size <= MAX_REQUEST => batch.push(change),
            _ => {
                size = len;
                batches.push(vec![change]);
            }
        }
    }
    batches
}

/// Another device may have taken a name since the names were settled.
fn still_free(index: &Index, batch: &[Change]) -> Result<Vec<Change>, Error> {
    for change in batch {
        if let Change::Put {
            secret, metadata, ..
        } = change
            && index
                .find(&metadata.name)
                .is_some_and(|known| known.id != *secret)
        {
            return Err(value::exists(&metadata.name));
        }
    }
    Ok(batch.to_vec())
}
