//! The summary of each secret of a file, and the decision how it is imported.

use std::collections::HashMap;

use keyshell_base::names::SecretName;
use keyshell_client::index::Secret;
use sha2::{Digest as _, Sha256};
use shared::ids::{Digest, SecretId};
use shared::secret::SecretBytes;

use super::link::Bond;
use super::prepare::Prepared;
use super::provenance;

/// The data about a secret of the file that is kept between the two passes.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Name of the secret in the file.
    pub name: SecretName,
    /// SHA-256 of the whole secret and of the number of equal secrets before it.
    pub digest: Digest,
    /// Number of versions.
    pub versions: u64,
    /// Room left in its metadata, in bytes.
    pub room: usize,
    /// Its links to attachments or to its item.
    pub bond: Option<Bond>,
    pub(super) content: Content,
}

/// The content that is compared with an existing secret of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) metadata: Digest,
    pub(super) newest: Digest,
    /// SHA-256 of each value before the newest one, oldest first.
    pub(super) earlier: Vec<Digest>,
}

impl Content {
    fn new(new: &Prepared) -> Self {
        let mut values: Vec<_> = new.versions.iter().map(|(_, value)| of(value)).collect();
        Self {
            metadata: provenance::shape(&new.metadata),
            newest: values.pop().unwrap_or_else(|| Digest::of(&[])),
            earlier: values,
        }
    }
}

pub(super) fn of(value: &SecretBytes) -> Digest {
    Digest::of(value.expose())
}

/// Computes the digests of secrets in file order, numbered so that equal secrets differ.
#[derive(Debug, Default)]
pub struct Digests {
    seen: HashMap<Digest, u64>,
    all: Sha256,
}

impl Digests {
    /// SHA-256 of the next secret and of the number of equal secrets before it.
    pub fn next(&mut self, new: &Prepared) -> Digest {
        let count = self.seen.entry(new.digest).or_default();
        *count += 1;
        let mut hash = Sha256::new();
        hash.update(new.digest.as_bytes());
        hash.update(count.to_be_bytes());
        let digest = hash.finalize();
        self.all.update(digest);
        Digest::new(digest.into())
    }

    /// SHA-256 over all digests.
    pub fn all(self) -> Digest {
        Digest::new(self.all.finalize().into())
    }
}

impl Summary {
    /// The summary of a secret with this digest.
    pub fn new(new: &Prepared, digest: Digest) -> Self {
        Self {
            name: new.metadata.name.clone(),
            digest,
            versions: new.versions.len() as u64,
            room: new.room,
            bond: Bond::new(new.group, &new.metadata.other),
            content: Content::new(new),
        }
    }
}

/// How a secret of the file is imported.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// As a new secret with this name.
    New(SecretName),
    /// As new versions of this existing secret.
    Onto(Box<Secret>),
    /// The remaining versions of a secret of which an interrupted import wrote the first ones; with their number.
    Rest(Box<Secret>, u64),
    /// Not at all, because it exists already as this secret.
    Unchanged(SecretId),
    /// Not at all, by choice.
    Skipped,
}
