//! The replay of the vault log: each entry is verified, then applied to the index.

use std::collections::{BTreeMap, BTreeSet};

use keyshell_base::names::SecretName;
use keyshell_base::time::now_ms;
use shared::checkpoint::TreeHead;
use shared::ids::{DeviceId, Digest, SecretId, Seq, Version};
use shared::vault_log::{
    self, Acknowledge, Entry, FIRST_EPOCH, Head, Identity, LogError, Op, Purge, Sealed,
    SecretState, SignedEntry, Signer, Versions,
};
use shared::wire::call::LoggedEntry;

use crate::error::Error;
use crate::index::credentials::Credentials;
use crate::index::metadata::Metadata;
use crate::index::notes::{self, Note};
use crate::index::secret::{RemovedSecret, Secret, VersionInfo};
use crate::index::unsealed::Unsealed;
use crate::keys::account::AccountKeys;
use crate::keys::seal::{SecretContext, TextContext};
use crate::verification::VerificationError;

/// The state of the account after the entries replayed so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Index {
    pub(super) head: Head,
    pub(super) identity: Option<Identity>,
    /// The signer of the next entry; `None` before the first one.
    pub(super) signer: Option<Signer>,
    pub(super) secrets: BTreeMap<SecretId, Secret>,
    /// Several secrets can have one name where another program of the owner does not check for it; each stays
    /// reachable.
    pub(super) names: BTreeMap<SecretName, BTreeSet<SecretId>>,
    pub(super) removed: BTreeMap<SecretId, RemovedSecret>,
    /// The last names of destroyed secrets, which output of the audit log shows.
    pub(super) purged: BTreeMap<SecretId, Option<SecretName>>,
    /// Hash and device of each entry, from position 1: the audit log has a record of each.
    pub(super) entries: Vec<(Digest, DeviceId)>,
    /// Content that the server did not deliver with its entry. A later entry must say that it was destroyed or
    /// re-encrypted.
    pub(super) missing: BTreeMap<Content, Seq>,
    /// Losses that the owner has acknowledged, with the position of the entry.
    pub(super) lost: Vec<(Seq, Acknowledge)>,
    /// The state of credentials and devices.
    pub(super) credentials: Credentials,
    pub(super) notes: Vec<Note>,
}

/// Content beside the log.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub enum Content {
    /// The metadata of a version of a secret.
    Metadata(SecretId, Version),
    /// The text of the note at this position.
    Note(Seq),
}

/// Facts about a replayed entry that the index does not keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replayed {
    /// The device that signed it.
    pub device: DeviceId,
    /// The newest audit checkpoint that the device had seen.
    pub seen: Option<TreeHead>,
    /// Whether it begins a key epoch.
    pub begins_epoch: bool,
    /// Whether its sealed content is unreadable. Only a holder of the account key can sign such an entry: a broken
    /// program or a thief. Earlier metadata and names stay valid then.
    pub is_unreadable: bool,
}

/// An entry cannot be replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// It breaks the rules of the log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// It begins a later key epoch than the session has the account key of: a new login brings the key.
    #[error("vault log entry {0} begins a key epoch that this session has no account key of")]
    LaterEpoch(Seq),
    /// It names a log-signing key that does not descend from the account key of its epoch.
    #[error("vault log entry {0} names another log-signing key than that of the account")]
    OtherLogKey(Seq),
    /// Its content does not have the hash that it names.
    #[error("vault log entry {0} came with other content than it names")]
    OtherContent(Seq),
}

impl From<ReplayError> for VerificationError {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Log(error) => Self::Entry(error),
            ReplayError::LaterEpoch(_) => Self::ReplacementNotLogged,
            ReplayError::OtherLogKey(_) => Self::OtherLogKey,
            ReplayError::OtherContent(seq) => Self::OtherContent { seq },
        }
    }
}

impl From<ReplayError> for Error {
    fn from(error: ReplayError) -> Self {
        match error {
            // The server ends all other sessions when an epoch begins; a login brings the new account key.
            ReplayError::LaterEpoch(_) => Self::SessionEnded,
            error => Self::Verification(error.into()),
        }
    }
}

impl Index {
    /// The state before the first entry.
    pub fn new() -> Self {
        Self {
            head: Head::EMPTY,
            identity: None,
            signer: None,
            secrets: BTreeMap::new(),
            names: BTreeMap::new(),
            removed: BTreeMap::new(),
            purged: BTreeMap::new(),
            entries: Vec::new(),
            missing: BTreeMap::new(),
            lost: Vec::new(),
            credentials: Credentials::default(),
            notes: Vec::new(),
        }
    }

    /// Hash and device of each entry, from position 1; the audit log has a record of each but those of the registration.
    pub fn entries(&self) -> &[(Digest, DeviceId)] {
        &self.entries
    }

    /// Losses that the owner has acknowledged, with the position of the entry; oldest first.
    pub fn lost(&self) -> &[(Seq, Acknowledge)] {
        &self.lost
    }

    /// The state of credentials and devices.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// The text of the note in the entry with this hash.
    pub fn note(&self, entry: &Digest) -> Option<&str> {
        let note = self.notes.iter().find(|note| note.entry == *entry)?;
        note.text.as_deref()
    }

    /// The notes whose text was not destroyed, oldest first; also those that cannot be read.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// The key epoch after the last replayed entry.
    pub fn epoch(&self) -> u32 {
        self.signer.map_or(FIRST_EPOCH, |signer| signer.epoch)
    }

    /// Whether the log may end here: not inside the entries of one installation.
    pub fn is_whole(&self) -> bool {
        self.signer.is_none_or(Signer::is_whole)
    }

    /// The head after the last replayed entry.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The server's identity in the genesis entry.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// All secrets, by name.
    pub fn secrets(&self) -> Vec<&Secret> {
        let mut secrets: Vec<_> = self.secrets.values().collect();
        secrets.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        secrets
    }

    /// Removed secrets that can be restored, by name.
    pub fn removed(&self) -> Vec<&RemovedSecret> {
        let mut removed: Vec<_> = self.removed.values().collect();
        removed.sort_by(|a, b| a.secret.metadata.name.cmp(&b.secret.metadata.name));
        removed
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

    /// The secret with this id, whether it was removed or not.
    pub fn known(&self, id: &SecretId) -> Option<&Secret> {
        let removed = || self.removed.get(id).map(|removed| &removed.secret);
        self.get(id).or_else(removed)
    }

    /// Whether a secret with this id was removed or destroyed.
    pub fn was_removed(&self, id: &SecretId) -> bool {
        self.removed.contains_key(id) || self.purged.contains_key(id)
    }

    /// The name of a secret, or the last name of a removed or destroyed one.
    pub fn name_of(&self, id: &SecretId) -> Option<&SecretName> {
        let known = self.known(id).map(|secret| &secret.metadata.name);
        known.or_else(|| self.purged.get(id)?.as_ref())
    }

    /// The removed secret with this id, if it can be restored.
    pub fn removed_secret(&self, id: &SecretId) -> Option<&RemovedSecret> {
        self.removed.get(id)
    }

    /// Counts the days until removed secrets are destroyed from `now_ms` on.
    pub(crate) fn see_removed_again(&mut self, ids: &[SecretId], now_ms: u64) {
        for id in ids {
            if let Some(removed) = self.removed.get_mut(id) {
                removed.seen_ms = now_ms;
            }
        }
    }

    /// The secret that has this name, or else a removed or destroyed secret whose last name it was.
    pub fn any_named(&self, name: &SecretName) -> Option<SecretId> {
        let mut removed = self.removed.values().map(|removed| &removed.secret);
        let removed = removed.find(|secret| secret.metadata.name == *name);
        let mut purged = self.purged.iter();
        self.named(name)
            .or_else(|| removed.map(|secret| secret.id))
            .or_else(|| {
                let found = purged.find(|(_, known)| known.as_ref() == Some(name));
                found.map(|(id, _)| *id)
            })
    }

    /// Content that the server did not deliver, and that no entry so far says was destroyed; with the position of the
    /// entry that names it.
    pub fn withheld(&self) -> Option<Seq> {
        self.missing.values().next().copied()
    }

    /// Verifies the next entry and applies it.
    ///
    /// # Errors
    /// [`ReplayError`]; the index is unchanged then.
    pub fn replay(
        &mut self,
        keys: &AccountKeys,
        logged: &LoggedEntry,
    ) -> Result<Replayed, ReplayError> {
        let signed = &logged.entry;
        let by = self.signer_of(signed)?;
        let entry = signed.verify(&keys.account(), &by.log_key)?;
        let head = signed.verify_next(&entry, &self.head)?;
        let before = entry.op.secret().and_then(|id| self.state(&id));
        vault_log::apply(before, &entry)?;
        // Before the epoch: an unauthorised `rekey` is a lie, and no reason to log in again.
        self.credentials.check_authorisation(&entry)?;
        let next = by.after(&entry.op)?;
        check_log_key(keys, next, entry.seq)?;
        let content = logged.metadata.as_ref().map(|sealed| sealed.as_slice());
        if content.is_some_and(|sealed| entry.op.metadata() != Some(Digest::of(sealed))) {
            return Err(ReplayError::OtherContent(entry.seq));
        }
        let has_unreadable_name = self.credentials.note(keys, &entry, (head.hash, by.epoch))?;
        let is_unreadable = self.apply(keys, &entry, content, (head.hash, by.epoch));
        self.entries.push((head.hash, entry.device));
        self.signer = Some(next);
        self.head = head;
        Ok(Replayed {
            device: entry.device,
            seen: entry.seen,
            begins_epoch: next.epoch != by.epoch,
            is_unreadable: is_unreadable || has_unreadable_name,
        })
    }

    /// The signer of the next entry; the first one names its own.
    fn signer_of(&self, signed: &SignedEntry) -> Result<Signer, ReplayError> {
        if let Some(signer) = self.signer {
            return Ok(signer);
        }
        match signed.decode_unverified()?.op {
            Op::Genesis(identity) => Ok(Signer::of_genesis(&identity)),
            _ => Err(LogError::Contradiction.into()),
        }
    }

    fn state(&self, id: &SecretId) -> Option<SecretState> {
        let versions = |secret: &Secret| {
            Some(Versions {
                oldest: secret.versions.first()?.version,
                newest: secret.newest()?.version,
            })
        };
        if self.purged.contains_key(id) {
            return Some(SecretState::Purged);
        }
        if let Some(removed) = self.removed.get(id) {
            return versions(&removed.secret).map(SecretState::Removed);
        }
        versions(self.secrets.get(id)?).map(SecretState::Live)
    }

    /// Applies a verified entry; returns whether it carries unreadable content.
    fn apply(
        &mut self,
        keys: &AccountKeys,
        entry: &Entry,
        content: Option<&[u8]>,
        (hash, epoch): (Digest, u32),
    ) -> bool {
        match &entry.op {
            Op::Genesis(identity) => self.identity = Some(identity.clone()),
            Op::Acknowledge(lost) => self.lost.push((entry.seq, lost.clone())),
            Op::Credential(_) | Op::Rekey(_) => {}
            Op::Put(put) => {
                let opened = self.open(keys, entry.seq, place(put), put.epoch, content);
                let is_unreadable = opened.is_unreadable();
                let metadata = self.or_known(opened, put.secret);
                self.put(entry, put, metadata);
                return is_unreadable;
            }
            Op::Describe(new) => {
                let place = (new.secret, new.version);
                let opened = self.open(keys, entry.seq, place, new.epoch, content);
                if let Unsealed::Content(metadata) = opened {
                    self.describe(new.secret, metadata, (entry.time_ms, new.epoch));
                    return false;
                }
                return opened.is_unreadable();
            }
            Op::Reseal(new) => {
                self.missing
                    .remove(&Content::Metadata(new.secret, new.version));
                let opened = self.open(keys, entry.seq, place(new), new.epoch, content);
                let is_unreadable = opened.is_unreadable();
                self.reseal(entry.seq, new, opened.content());
                return is_unreadable;
            }
            Op::Remove(named) => self.remove(named.secret, entry.time_ms),
            Op::Restore(named) => self.restore(named.secret),
            Op::Purge(purge) => self.purge(purge),
            Op::Note(_) => {
                let Some(sealed) = content else {
                    self.missing.insert(Content::Note(entry.seq), entry.seq);
                    return false;
                };
                let place = TextContext::Note {
                    device: entry.device,
                    seq: entry.seq,
                };
                let text = notes::open(keys, place, epoch, sealed);
                let is_unreadable = text.is_none();
                self.notes.push(Note {
                    seq: entry.seq,
                    entry: hash,
                    device: entry.device,
                    text,
                });
                return is_unreadable;
            }
        }
        false
    }

    /// Opens the metadata of an entry; remembers those that the server did not deliver.
    fn open(
        &mut self,
        keys: &AccountKeys,
        seq: Seq,
        (secret, version): (SecretId, Version),
        epoch: u32,
        content: Option<&[u8]>,
    ) -> Unsealed<Metadata> {
        let Some(sealed) = content else {
            self.missing.insert(Content::Metadata(secret, version), seq);
            return Unsealed::Absent;
        };
        let place = SecretContext { secret, version };
        let opened = place.open_metadata(keys, epoch, sealed).ok();
        Unsealed::new(opened.and_then(|opened| Metadata::decode(opened.expose()).ok()))
    }

    /// Metadata that are missing or unreadable leave the earlier ones valid.
    fn or_known(&self, opened: Unsealed<Metadata>, id: SecretId) -> Option<Metadata> {
        let known = || self.known(&id).map(|secret| secret.metadata.clone());
        opened
            .content()
            .or_else(known)
            .or_else(|| Metadata::unreadable(&id).ok())
    }

    fn put(&mut self, entry: &Entry, put: &Sealed, metadata: Option<Metadata>) {
        let Some(metadata) = metadata else { return };
        let info = VersionInfo {
            version: put.version,
            seq: entry.seq,
            epoch: put.epoch,
            value_hash: put.value,
            created_ms: metadata.created_ms.unwrap_or(entry.time_ms),
            device: entry.device,
        };
        let secret = self.secrets.entry(put.secret).or_insert_with(|| Secret {
            id: put.secret,
            metadata: metadata.clone(),
            metadata_epoch: put.epoch,
            changed_ms: entry.time_ms,
            versions: Vec::new(),
        });
        secret.versions.push(info);
        self.describe(put.secret, metadata, (entry.time_ms, put.epoch));
    }

    fn describe(&mut self, id: SecretId, metadata: Metadata, (changed_ms, epoch): (u64, u32)) {
        let Some(secret) = self.secrets.get_mut(&id) else {
            return;
        };
        let name = metadata.name.clone();
        let before = std::mem::replace(&mut secret.metadata, metadata);
        secret.changed_ms = changed_ms;
        secret.metadata_epoch = epoch;
        self.release(&before.name, id);
        self.names.entry(name).or_default().insert(id);
    }

    /// The new sealed form of a version. Only that of the newest version carries metadata that count.
    fn reseal(&mut self, seq: Seq, new: &Sealed, metadata: Option<Metadata>) {
        let removed = self.removed.get_mut(&new.secret);
        let removed = removed.map(|removed| &mut removed.secret);
        let Some(secret) = self.secrets.get_mut(&new.secret).or(removed) else {
            return;
        };
        let newest = secret.newest().map(|newest| newest.version);
        let mut versions = secret.versions.iter_mut();
        if let Some(info) = versions.find(|info| info.version == new.version) {
            info.seq = seq;
            info.epoch = new.epoch;
            info.value_hash = new.value;
            let created = metadata.as_ref().and_then(|metadata| metadata.created_ms);
            info.created_ms = created.unwrap_or(info.created_ms);
        }
        if newest != Some(new.version) {
            return;
        }
        secret.metadata_epoch = new.epoch;
        let changed_ms = secret.changed_ms;
        if let Some(metadata) = metadata {
            if let Some(removed) = self.removed.get_mut(&new.secret) {
                removed.secret.metadata = metadata;
            } else {
                self.describe(new.secret, metadata, (changed_ms, new.epoch));
            }
        }
    }

    fn remove(&mut self, id: SecretId, removed_ms: u64) {
        if let Some(secret) = self.secrets.remove(&id) {
            self.release(&secret.metadata.name, id);
            let removed = RemovedSecret {
                secret,
                removed_ms,
                seen_ms: now_ms(),
            };
            self.removed.insert(id, removed);
        }
    }

    fn restore(&mut self, id: SecretId) {
        if let Some(removed) = self.removed.remove(&id) {
            let name = removed.secret.metadata.name.clone();
            self.names.entry(name).or_default().insert(id);
            self.secrets.insert(id, removed.secret);
        }
    }

    fn purge(&mut self, purge: &Purge) {
        match purge {
            Purge::Secret(id) => {
                let removed = self.removed.remove(id);
                let name = removed.map(|removed| removed.secret.metadata.name);
                self.purged.insert(*id, name);
                self.missing
                    .retain(|content, _| !matches!(content, Content::Metadata(of, _) if of == id));
            }
            Purge::Versions(kept) => {
                if let Some(secret) = self.secrets.get_mut(&kept.secret) {
                    secret.versions.retain(|info| info.version >= kept.version);
                }
                self.missing.retain(|content, _| {
                    !matches!(content, Content::Metadata(of, version)
                        if *of == kept.secret && *version < kept.version)
                });
            }
            Purge::Note(seq) => {
                self.notes.retain(|note| note.seq != *seq);
                self.missing.remove(&Content::Note(*seq));
            }
        }
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

fn place(sealed: &Sealed) -> (SecretId, Version) {
    (sealed.secret, sealed.version)
}

/// Verifies that the log-signing key which the log names for an epoch descends from the account key of that epoch.
fn check_log_key(keys: &AccountKeys, signer: Signer, seq: Seq) -> Result<(), ReplayError> {
    match keys.log_key_of(signer.epoch) {
        None => Err(ReplayError::LaterEpoch(seq)),
        Some(key) if key == signer.log_key => Ok(()),
        Some(_) => Err(ReplayError::OtherLogKey(seq)),
    }
}
