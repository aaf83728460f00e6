//! The encoding of the index for the cache on a device.

use std::collections::{BTreeMap, BTreeSet};

use keyshell_base::names::SecretName;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use shared::codec;
use shared::ids::{DeviceId, Digest, SecretId, Seq};
use shared::opaque::Slot;
use shared::secret::SecretBytes;
use shared::vault_log::{Acknowledge, Head, Identity, Signer};

use crate::index::credentials::{CredentialState, Credentials, Generation};
use crate::index::metadata::Metadata;
use crate::index::notes::Note;
use crate::index::replay::{Content, Index};
use crate::index::secret::{RemovedSecret, Secret, VersionInfo};

const CACHE_FORMAT: u8 = 7;

#[derive(Serialize, Deserialize)]
struct Cached {
    format: u8,
    head: Head,
    identity: Option<Identity>,
    signer: Option<Signer>,
    secrets: Vec<CachedSecret>,
    removed: Vec<(CachedSecret, u64, u64)>,
    purged: Vec<(SecretId, Option<SecretName>)>,
    entries: Vec<(Digest, DeviceId)>,
    missing: Vec<(Content, Seq)>,
    lost: Vec<(Seq, Acknowledge)>,
    credentials: Vec<(Slot, CredentialState)>,
    generations: Vec<((Slot, u64), Generation)>,
    devices: Vec<(DeviceId, (u64, u64))>,
    notes: Vec<Note>,
}

#[derive(Serialize, Deserialize)]
struct CachedSecret {
    id: SecretId,
    metadata: ByteBuf,
    metadata_epoch: u32,
    changed_ms: u64,
    versions: Vec<VersionInfo>,
}

impl CachedSecret {
    fn new(secret: &Secret) -> Option<Self> {
        Some(Self {
            id: secret.id,
            metadata: ByteBuf::from(secret.metadata.encode_any().ok()?.expose()),
            metadata_epoch: secret.metadata_epoch,
            changed_ms: secret.changed_ms,
            versions: secret.versions.clone(),
        })
    }

    fn restore(self) -> Option<Secret> {
        Some(Secret {
            id: self.id,
            metadata: Metadata::decode(&self.metadata).ok()?,
            metadata_epoch: self.metadata_epoch,
            changed_ms: self.changed_ms,
            versions: self.versions,
        })
    }
}

impl Index {
    /// Encodes the index; `None` never happens for metadata that were decoded.
    pub fn encode(&self) -> Option<SecretBytes> {
        let secrets = self.secrets.values().map(CachedSecret::new);
        let removed = self.removed.values().map(|removed| {
            let secret = CachedSecret::new(&removed.secret)?;
            Some((secret, removed.removed_ms, removed.seen_ms))
        });
        let cached = Cached {
            format: CACHE_FORMAT,
            head: self.head,
            identity: self.identity.clone(),
            signer: self.signer,
            secrets: secrets.collect::<Option<_>>()?,
            removed: removed.collect::<Option<_>>()?,
            purged: self.purged.clone().into_iter().collect(),
            entries: self.entries.clone(),
            missing: self.missing.clone().into_iter().collect(),
            lost: self.lost.clone(),
            credentials: self.credentials.to_list(),
            generations: self.credentials.generations().clone().into_iter().collect(),
            devices: self.credentials.devices().clone().into_iter().collect(),
            notes: self.notes.clone(),
        };
        codec::encode(&cached).ok().map(SecretBytes::new)
    }

    /// Decodes an encoded index; `None` for other bytes, which costs a full replay.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let cached: Cached = codec::decode(bytes, bytes.len()).ok()?;
        if cached.format != CACHE_FORMAT {
            return None;
        }
        let secrets = cached.secrets.into_iter();
        let secrets = secrets.map(|secret| Some((secret.id, secret.restore()?)));
        let secrets: BTreeMap<_, _> = secrets.collect::<Option<_>>()?;
        let mut names: BTreeMap<SecretName, BTreeSet<SecretId>> = BTreeMap::new();
        for (id, secret) in &secrets {
            let name = secret.metadata.name.clone();
            names.entry(name).or_default().insert(*id);
        }
        let removed = cached.removed.into_iter();
        let removed = removed.map(|(secret, removed_ms, seen_ms)| {
            let secret = secret.restore()?;
            let removed = RemovedSecret {
                secret,
                removed_ms,
                seen_ms,
            };
            Some((removed.secret.id, removed))
        });
        Some(Self {
            head: cached.head,
            identity: cached.identity,
            signer: cached.signer,
            names,
            secrets,
            removed: removed.collect::<Option<_>>()?,
            purged: cached.purged.into_iter().collect(),
            entries: cached.entries,
            missing: cached.missing.into_iter().collect(),
            lost: cached.lost,
            credentials: Credentials::from_lists(
                cached.credentials,
                cached.generations,
                cached.devices,
            ),
            notes: cached.notes,
        })
    }
}
