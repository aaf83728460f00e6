//! The replay of the vault log: each entry is verified, then applied to the index.

use std::collections::{BTreeMap, BTreeSet};

use keyshell_base::names::SecretName;
use shared::audit_record::AuditedOperation;
use shared::checkpoint::TreeHead;
use shared::ids::{DeviceId, SecretId, Seq};
use shared::vault_log::{
    self, Acknowledge, Entry, FIRST_EPOCH, FormerHash, Head, Identity, LogError, Op, SecretState,
    SignedEntry,
};

use crate::index::credentials::Credentials;
use crate::index::metadata::Metadata;
use crate::index::notes::{self, Note};
use crate::index::secret::{Secret, VersionInfo};
use crate::index::unsealed::Unsealed;
use crate::keys::account::{AccountKeys, FormerKeys};
use crate::keys::seal::{FormerKeysContext, SecretContext};
use crate::verification::VerificationError;

/// The state of the account after the entries replayed so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Index {
    pub(super) head: Head,
    pub(super) identity: Option<Identity>,
    pub(super) secrets: BTreeMap<SecretId, Secret>,
    /// Several secrets can have one name where another program of the owner does not check for it; each stays
    /// reachable.
    pub(super) names: BTreeMap<SecretName, BTreeSet<SecretId>>,
    pub(super) removed: BTreeSet<SecretId>,
    /// The last names of removed secrets, which output of the audit log shows.
    pub(super) former_names: BTreeMap<SecretId, SecretName>,
    /// Number of entries per operation, secret and device.
    pub(super) changes: BTreeMap<ChangeKey, u64>,
    /// Losses that the owner has acknowledged, with the position of the entry.
    pub(super) lost: Vec<(Seq, Acknowledge)>,
    /// The state of credentials and devices.
    pub(super) credentials: Credentials,
    pub(super) notes: Vec<Note>,
    /// The keys kept of former account keys, oldest first.
    pub(super) former_keys: Vec<FormerKeys>,
}

/// Facts about a replayed entry that the index does not keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// The device that signed it.
    pub device: DeviceId,
    /// The newest audit checkpoint that the device had seen.
    pub seen: Option<TreeHead>,
    /// The hashes that the entry had under former account keys.
    pub former: Vec<FormerHash>,
    /// Whether its sealed content is unreadable. Only a holder of the account key can sign such an entry: a broken
    /// program or a thief. Earlier metadata and names stay valid then.
    pub is_unreadable: bool,
}

/// Identifies entries that correspond to the same kind of audit record: operation, secret, device.
pub type ChangeKey = (AuditedOperation, Option<SecretId>, DeviceId);

impl Index {
    /// The state before the first entry.
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

    /// Number of entries per operation, secret and device; the audit log has a record of each. The genesis entry is not
    /// counted.
    pub fn changes(&self) -> &BTreeMap<ChangeKey, u64> {
        &self.changes
    }

    /// Losses that the owner has acknowledged, with the position of the entry; oldest first.
    pub fn lost(&self) -> &[(Seq, Acknowledge)] {
        &self.lost
    }

    /// The state of credentials and devices.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The note in the entry with this number among the device's notes, from 1.
    pub fn note(&self, device: &DeviceId, ordinal: u64) -> Option<&str> {
        let mut notes = self.notes.iter();
        let note = notes.find(|note| note.device == *device && note.ordinal == ordinal)?;
        Some(&note.text)
    }

    /// The key epoch of the last replayed entry.
    pub fn epoch(&self) -> u32 {
        let replaced = u32::try_from(self.former_keys.len()).unwrap_or(u32::MAX);
        FIRST_EPOCH.saturating_add(replaced)
    }

    /// The keys kept of former account keys, oldest first.
    pub fn former_keys(&self) -> &[FormerKeys] {
        &self.former_keys
    }

    /// The head after the last replayed entry.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The server's identity in the newest entry that names it.
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

    /// Whether a secret with this id was removed.
    pub fn was_removed(&self, id: &SecretId) -> bool {
        self.removed.contains(id)
    }

    /// The name of a secret, or the last name of a removed one.
    pub fn name_of(&self, id: &SecretId) -> Option<&SecretName> {
        self.secrets
            .get(id)
            .map(|secret| &secret.metadata.name)
            .or_else(|| self.former_names.get(id))
    }

    /// The secret that has this name, or else a removed secret whose last name it was.
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
    /// [`VerificationError`]; the index is unchanged then.
    pub fn replay(
        &mut self,
        keys: &AccountKeys,
        signed: &SignedEntry,
    ) -> Result<Replayed, VerificationError> {
        let entry = signed.verify(&keys.account(), &keys.log_key())?;
        let head = signed.verify_next(&entry, &self.head)?;
        let before = entry.op.secret().and_then(|id| self.state(&id));
        vault_log::apply(before, &entry)?;
        let metadata = open_metadata(keys, &entry)?;
        let note = notes::text(keys, &entry);
        let former = self.former(keys, &entry)?;
        let has_unreadable_name = self.credentials.note(keys, &entry)?;
        let is_unreadable = has_unreadable_name || metadata.is_unreadable() || note.is_unreadable();
        let metadata = self.known_or(metadata, &entry);
        self.apply(&entry, metadata);
        self.former_keys.extend(former);
        if let Some(operation) = entry.op.operation() {
            let changed = (operation, entry.op.secret(), entry.device);
            let count = self.changes.entry(changed).or_default();
            *count += 1;
            self.notes.extend(note.content().map(|text| Note {
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

    /// The former keys in an entry that begins a key epoch. Epochs follow each other without a gap, up to that of the
    /// key that signs the log.
    fn former(
        &self,
        keys: &AccountKeys,
        entry: &Entry,
    ) -> Result<Option<FormerKeys>, VerificationError> {
        let Op::Rekey(rekey) = &entry.op else {
            return Ok(None);
        };
        if rekey.epoch != self.epoch().saturating_add(1) || rekey.epoch > keys.epoch() {
            return Err(LogError::Contradiction.into());
        }
        let place = FormerKeysContext {
            begun: rekey.epoch,
            seq: entry.seq,
        };
        let opened = place.open(keys, &rekey.keys);
        opened
            .map(Some)
            .map_err(|_| VerificationError::FormerKeys(entry.seq))
    }

    /// Unreadable metadata leave the earlier ones valid.
    fn known_or(&self, opened: Unsealed<Metadata>, entry: &Entry) -> Option<Metadata> {
        let known = || {
            let id = entry.op.secret()?;
            let known = self.secrets.get(&id);
            let known = known.map(|secret| secret.metadata.clone());
            known.or_else(|| Metadata::unreadable(&id).ok())
        };
        if opened.is_unreadable() {
            known()
        } else {
            opened.content()
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

fn open_metadata(
    keys: &AccountKeys,
    entry: &Entry,
) -> Result<Unsealed<Metadata>, VerificationError> {
    let Some((place, epoch, sealed)) = sealed_metadata(&entry.op) else {
        return Ok(Unsealed::Absent);
    };
    if epoch != keys.epoch() {
        return Err(LogError::Contradiction.into());
    }
    let opened = place.open_metadata(keys, entry.seq, sealed).ok();
    let metadata = opened.and_then(|opened| Metadata::decode(opened.expose()).ok());
    Ok(Unsealed::new(metadata))
}

/// The context, key epoch and ciphertext of the sealed metadata in an operation.
fn sealed_metadata(op: &Op) -> Option<(SecretContext, u32, &[u8])> {
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
    Some((SecretContext { secret, version }, epoch, sealed))
}
