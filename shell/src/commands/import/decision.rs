//! What is known of each secret of a file, and what becomes of it.

use std::collections::HashMap;

use keyshell_base::names::SecretName;
use keyshell_client::index::Secret;
use sha2::{Digest as _, Sha256};
use shared::ids::{Digest, SecretId};
use shared::secret::SecretBytes;

use super::link::Bond;
use super::prepare::Prepared;
use super::provenance;

/// What is known of a secret of the file while the others are read.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Its name, as the file has it.
    pub name: SecretName,
    /// SHA-256 of all of it, and of how often the same came before.
    pub digest: Digest,
    /// How many versions it has.
    pub versions: u64,
    /// How much room is left beside its metadata, in bytes.
    pub room: usize,
    /// How it is bound to others of the file.
    pub bond: Option<Bond>,
    pub(super) content: Content,
}

/// What is compared with a secret of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) metadata: Digest,
    pub(super) newest: Digest,
    /// Values before the newest one, oldest first.
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

/// Numbers what is read, one after the other, so that equal secrets are told apart.
#[derive(Debug, Default)]
pub struct Digests {
    seen: HashMap<Digest, u64>,
    all: Sha256,
}

impl Digests {
    /// SHA-256 of the next one, and of how often the same came before.
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

    /// SHA-256 of all of them.
    pub fn all(self) -> Digest {
        Digest::new(self.all.finalize().into())
    }
}

impl Summary {
    /// Of a secret of this digest.
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

/// What becomes of a secret of the file.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// A new secret under this name.
    New(SecretName),
    /// New versions of a secret that exists.
    Onto(Box<Secret>),
    /// The last versions of a secret whose first ones an import brought that was broken off.
    Rest(Box<Secret>, u64),
    /// It is here already, as this secret.
    Unchanged(SecretId),
    /// It stays outside.
    Skipped,
}
