//! The index: what the replay of the vault log says there is.

mod cached;
mod credentials;
pub mod device_name;
pub mod metadata;
mod notes;

use std::collections::{BTreeMap, BTreeSet};

pub use credentials::{CredentialState, Credentials};
use keyshell_base::names::SecretName;
pub use notes::Note;
use serde::{Deserialize, Serialize};
use shared::audit_record::Operation;
use shared::checkpoint::TreeHead;
use shared::ids::{DeviceId, Digest, SecretId, Seq, Version};
use shared::vault_log::{
    self, Acknowledge, Entry, FIRST_EPOCH, Former, Head, Identity, LogError, Op, SecretState,
    SignedEntry,
};
use shared::wire::call::ValueRef;

use crate::error::Error;
use crate::index::metadata::Metadata;
use crate::keys::account::{AccountKeys, FormerKeys};
use crate::keys::seal::{FormerKeysPlace, Place};
use crate::verification::VerificationError;

/// One version of a secret's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionInfo {
    /// Which version.
    pub version: Version,
    /// Position of its entry.
    pub seq: Seq,
    /// Key epoch.
    pub epoch: u32,
    /// SHA-256 of the sealed value.
    pub value_hash: Digest,
    /// When it was made, by the clock of the device or, for imported ones, of where it came from.
    pub created_ms: u64,
    /// Which device made it.
    pub device: DeviceId,
}

impl VersionInfo {
    /// How this version of `secret` is asked for.
    pub fn reference(&self, secret: SecretId) -> ValueRef {
        ValueRef {
            secret,
            version: self.version,
        }
    }
}

/// A secret that exists.
#[derive(Debug, Clone, PartialEq)]
pub struct Secret {
    /// Its id.
    pub id: SecretId,
    /// Its newest metadata.
    pub metadata: Metadata,
    /// When they were last changed.
    pub changed_ms: u64,
    /// Its versions, oldest first; never empty.
    pub versions: Vec<VersionInfo>,
}

impl Secret {
    /// The newest version.
    pub fn newest(&self) -> Option<&VersionInfo> {
        self.versions.last()
    }

    /// A certain version, the newest if none is named.
    pub fn version(&self, version: Option<Version>) -> Option<&VersionInfo> {
        match version {
            None => self.newest(),
            Some(version) => self.versions.iter().find(|info| info.version == version),
        }
    }
}

/// What was replayed so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Index {
    head: Head,
    identity: Option<Identity>,
    secrets: BTreeMap<SecretId, Secret>,
    /// Two devices that give a name at the same time plan anew; another program of the owner's need not, and then a
    /// name has several secrets, each of which stays in reach.
    names: BTreeMap<SecretName, BTreeSet<SecretId>>,
    removed: BTreeSet<SecretId>,
    /// Names of secrets that were removed, for the audit log's readers.
    former_names: BTreeMap<SecretId, SecretName>,
    /// How many entries of each kind each device made about each secret.
    changes: BTreeMap<Changed, u64>,
    /// What the owner accepted as lost.
    lost: Vec<(Seq, Acknowledge)>,
    /// What is said of credentials and devices.
    credentials: Credentials,
    notes: Vec<Note>,
    /// What is left of the account keys before, oldest first.
    former_keys: Vec<FormerKeys>,
}

/// What an entry that was replayed says besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// The device that made it.
    pub device: DeviceId,
    /// The audit checkpoint which that device had seen.
    pub seen: Option<TreeHead>,
    /// What the entry was under the account keys before.
    pub former: Vec<Former>,
    /// Whether what it carries cannot be read. Only who has the account key signs such a thing: a program that is broken,
    /// or a thief. It says nothing then, and takes nothing from what was said before; the log goes on.
    pub is_unreadable: bool,
}

/// What an entry is to the audit log: operation, secret, device.
pub type Changed = (Operation, Option<SecretId>, DeviceId);

/// An entry that replay refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The log's own rules.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Sealed former keys do not open.
    #[error("vault log entry {0} carries former keys that do not open")]
    FormerKeys(Seq),
}

impl From<ReplayError> for VerificationError {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Log(error) => Self::Entry(error),
            ReplayError::FormerKeys(seq) => Self::FormerKeys { seq },
        }
    }
}

impl From<ReplayError> for Error {
    fn from(error: ReplayError) -> Self {
        Self::Verification(error.into())
    }
}

impl Index {
    /// Nothing replayed yet.
    pub fn new() -> Self {
        Self {
            head: Head::EMPTY,
            identity: None,
            secrets: BTreeMap::new(),
            names: BTreeMap::new(),
            removed: BTreeSet::new(),
            former_names: BTreeMap::new(),
            changes: BTreeMap::new(),
            lost: Vec::new(),
            credentials: Credentials::default(),
            notes: Vec::new(),
            former_keys: Vec::new(),
        }
    }

    /// How many entries of each kind each device made about each secret: the audit log has a record of each. The
    /// genesis entry is none of them.
    pub fn changes(&self) -> &BTreeMap<Changed, u64> {
        &self.changes
    }

    /// What the owner accepted as lost by the server, and in which entry; oldest first.
    pub fn lost(&self) -> &[(Seq, Acknowledge)] {
        &self.lost
    }

    /// What is said of credentials and devices.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The note that a device made in this one of its entries.
    pub fn note(&self, device: &DeviceId, ordinal: u64) -> Option<&str> {
        let mut notes = self.notes.iter();
        let note = notes.find(|note| note.device == *device && note.ordinal == ordinal)?;
        Some(&note.text)
    }

    /// Which account key the log goes by, as far as it was replayed.
    pub fn epoch(&self) -> u32 {
        let replaced = u32::try_from(self.former_keys.len()).unwrap_or(u32::MAX);
        FIRST_EPOCH.saturating_add(replaced)
    }

    /// What is left of the account keys before, oldest first.
    pub fn former_keys(&self) -> &[FormerKeys] {
        &self.former_keys
    }

    /// Where the replay stands.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The server as the owner's newest entry names it.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// All secrets, by name.
    pub fn secrets(&self) -> Vec<&Secret> {
        let mut secrets: Vec<_> = self.secrets.values().collect();
        secrets.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        secrets
    }

    /// The secret of this name; of several the one with the lowest id.
    pub fn find(&self, name: &SecretName) -> Option<&Secret> {
        self.secrets.get(&self.named(name)?)
    }

    fn named(&self, name: &SecretName) -> Option<SecretId> {
        self.names.get(name)?.first().copied()
    }

    /// The secret with this id.
    pub fn get(&self, id: &SecretId) -> Option<&Secret> {
        self.secrets.get(id)
    }

    /// Whether there was such a secret, and it was removed.
    pub fn was_removed(&self, id: &SecretId) -> bool {
        self.removed.contains(id)
    }

    /// The name that a secret has, or had when it was removed.
    pub fn name_of(&self, id: &SecretId) -> Option<&SecretName> {
        self.secrets
            .get(id)
            .map(|secret| &secret.metadata.name)
            .or_else(|| self.former_names.get(id))
    }

    /// The secret that has this name, or else one that had it when it was removed.
    pub fn any_named(&self, name: &SecretName) -> Option<SecretId> {
        let former = || {
            let mut former = self.former_names.iter();
            former.find(|(_, known)| *known == name).map(|(id, _)| *id)
        };
        self.named(name).or_else(former)
    }

    /// Verifies the next entry and applies it.
    ///
    /// # Errors
    /// [`ReplayError`]; the index is unchanged then.
    pub fn replay(
        &mut self,
        keys: &AccountKeys,
        signed: &SignedEntry,
    ) -> Result<Replayed, ReplayError> {
        let entry = signed.verify(&keys.account(), &keys.log_key())?;
        let head = signed.follow(&entry, &self.head)?;
        let before = entry.op.secret().and_then(|id| self.state(&id));
        vault_log::apply(before, &entry)?;
        let metadata = open_metadata(keys, &entry)?;
        let note = notes::text(keys, &entry);
        let former = self.former(keys, &entry)?;
        let has_bad_name = self.credentials.note(keys, &entry)?;
        let is_unreadable = has_bad_name || metadata == Opened::Not || note == Opened::Not;
        let metadata = self.known_or(metadata, &entry);
        self.apply(&entry, metadata);
        self.former_keys.extend(former);
        if let Some(operation) = entry.op.operation() {
            let changed = (operation, entry.op.secret(), entry.device);
            let count = self.changes.entry(changed).or_default();
            *count += 1;
            self.notes.extend(note.read().map(|text| Note {
                device: entry.device,
                ordinal: *count,
                text,
            }));
        }
        self.head = head;
        Ok(Replayed {
            device: entry.device,
            seen: entry.seen,
            former: entry.former,
            is_unreadable,
        })
    }

    /// What an entry about a new account key says of the one before. The keys come one after the other, and none after
    /// the one that signs the log.
    fn former(&self, keys: &AccountKeys, entry: &Entry) -> Result<Option<FormerKeys>, ReplayError> {
        let Op::Rekey(rekey) = &entry.op else {
            return Ok(None);
        };
        if rekey.epoch != self.epoch().saturating_add(1) || rekey.epoch > keys.epoch() {
            return Err(LogError::Contradiction.into());
        }
        let place = FormerKeysPlace {
            begun: rekey.epoch,
            seq: entry.seq,
        };
        let opened = place.open(keys, &rekey.keys);
        opened
            .map(Some)
            .map_err(|_| ReplayError::FormerKeys(entry.seq))
    }

    /// What cannot be read leaves what is known.
    fn known_or(&self, opened: Opened<Metadata>, entry: &Entry) -> Option<Metadata> {
        let known = || {
            let id = entry.op.secret()?;
            let known = self.secrets.get(&id);
            let known = known.map(|secret| secret.metadata.clone());
            known.or_else(|| Metadata::unreadable(&id).ok())
        };
        match opened {
            Opened::Not => known(),
            opened => opened.read(),
        }
    }

    fn state(&self, id: &SecretId) -> Option<SecretState> {
        if self.removed.contains(id) {
            return Some(SecretState::Removed);
        }
        let newest = self.secrets.get(id)?.newest()?;
        Some(SecretState::Live(newest.version))
    }

    fn apply(&mut self, entry: &Entry, metadata: Option<Metadata>) {
        match (&entry.op, metadata) {
            (Op::Put(put), Some(metadata)) => {
                let info = VersionInfo {
                    version: put.version,
                    seq: entry.seq,
                    epoch: put.epoch,
                    value_hash: put.value_hash,
                    created_ms: metadata.created_ms.unwrap_or(entry.time_ms),
                    device: entry.device,
                };
                let secret = self.secrets.entry(put.secret).or_insert_with(|| Secret {
                    id: put.secret,
                    metadata: metadata.clone(),
                    changed_ms: entry.time_ms,
                    versions: Vec::new(),
                });
                secret.versions.push(info);
                self.describe(put.secret, metadata, entry.time_ms);
            }
            (Op::Describe(describe), Some(metadata)) => {
                self.describe(describe.secret, metadata, entry.time_ms);
            }
            (Op::Remove(remove), _) => {
                if let Some(secret) = self.secrets.remove(&remove.secret) {
                    self.release(&secret.metadata.name, remove.secret);
                    self.former_names
                        .insert(remove.secret, secret.metadata.name);
                }
                self.removed.insert(remove.secret);
            }
            (Op::Genesis(identity) | Op::Server(identity), _) => {
                self.identity = Some(identity.clone());
            }
            (Op::Acknowledge(lost), _) => self.lost.push((entry.seq, lost.clone())),
            (Op::Put(_) | Op::Describe(_), None)
            | (Op::Credential(_) | Op::Note(_) | Op::Rekey(_), _) => {}
        }
    }

    fn describe(&mut self, id: SecretId, metadata: Metadata, changed_ms: u64) {
        let Some(secret) = self.secrets.get_mut(&id) else {
            return;
        };
        let name = metadata.name.clone();
        let before = std::mem::replace(&mut secret.metadata, metadata);
        secret.changed_ms = changed_ms;
        self.release(&before.name, id);
        self.names.entry(name).or_default().insert(id);
    }

    fn release(&mut self, name: &SecretName, id: SecretId) {
        if let Some(ids) = self.names.get_mut(name) {
            ids.remove(&id);
            if ids.is_empty() {
                self.names.remove(name);
            }
        }
    }
}

impl Default for Index {
    fn default() -> Self {
        Self::new()
    }
}

/// What an entry carries sealed.
#[derive(Debug, Clone, PartialEq)]
enum Opened<T> {
    Nothing,
    /// It does not open, or is something else.
    Not,
    Read(T),
}

impl<T> Opened<T> {
    fn new(read: Option<T>) -> Self {
        read.map_or(Self::Not, Self::Read)
    }

    fn read(self) -> Option<T> {
        match self {
            Self::Read(read) => Some(read),
            Self::Nothing | Self::Not => None,
        }
    }
}

fn open_metadata(keys: &AccountKeys, entry: &Entry) -> Result<Opened<Metadata>, ReplayError> {
    let Some((place, epoch, sealed)) = sealed_metadata(&entry.op) else {
        return Ok(Opened::Nothing);
    };
    if epoch != keys.epoch() {
        return Err(LogError::Contradiction.into());
    }
    let opened = place.open_metadata(keys, entry.seq, sealed).ok();
    let metadata = opened.and_then(|opened| Metadata::decode(opened.expose()).ok());
    Ok(Opened::new(metadata))
}

/// Of what, under which account key, and what.
pub(super) fn sealed_metadata(op: &Op) -> Option<(Place, u32, &[u8])> {
    let (secret, version, epoch, sealed) = match op {
        Op::Put(put) => (put.secret, put.version, put.epoch, &put.metadata),
        Op::Describe(new) => (new.secret, new.version, new.epoch, &new.metadata),
        Op::Genesis(_)
        | Op::Remove(_)
        | Op::Server(_)
        | Op::Acknowledge(_)
        | Op::Credential(_)
        | Op::Note(_)
        | Op::Rekey(_) => return None,
    };
    Some((Place { secret, version }, epoch, sealed))
}
