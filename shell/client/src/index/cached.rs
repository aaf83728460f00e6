//! The encoding of the index for the cache on a device.

use std::collections::{BTreeMap, BTreeSet};

use keyshell_base::names::SecretName;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use shared::codec;
use shared::ids::{DeviceId, SecretId, Seq};
use shared::opaque::Slot;
use shared::secret::{Key, SecretBytes};
use shared::vault_log::{Acknowledge, Head, Identity};

use crate::device::local::secret_bytes;
use crate::index::credentials::{CredentialState, Credentials};
use crate::index::metadata::Metadata;
use crate::index::notes::Note;
use crate::index::replay::{ChangeKey, Index};
use crate::index::secret::{Secret, VersionInfo};
use crate::keys::account::FormerKeys;

const CACHE_FORMAT: u8 = 5;

#[derive(Serialize, Deserialize)]
struct Cached {
    format: u8,
    head: Head,
    identity: Option<Identity>,
    secrets: Vec<CachedSecret>,
    removed: Vec<SecretId>,
    former_names: Vec<(SecretId, SecretName)>,
    changes: Vec<(ChangeKey, u64)>,
    lost: Vec<(Seq, Acknowledge)>,
    credentials: Vec<(Slot, CredentialState)>,
    devices: Vec<(DeviceId, (u64, u64))>,
    notes: Vec<Note>,
    former_keys: Vec<(CachedKey, CachedKey)>,
}

#[derive(Serialize, Deserialize)]
struct CachedKey(#[serde(with = "secret_bytes")] SecretBytes);

#[derive(Serialize, Deserialize)]
struct CachedSecret {
    id: SecretId,
    metadata: ByteBuf,
    changed_ms: u64,
    versions: Vec<VersionInfo>,
}

fn cached(key: &Key) -> CachedKey {
    CachedKey(SecretBytes::from(&key.expose()[..]))
}

impl Index {
    /// Encodes the index; `None` for metadata over their limits, which replay does not accept.
    pub fn encode(&self) -> Option<SecretBytes> {
        let secrets = self.secrets.values().map(|secret| {
            Some(CachedSecret {
                id: secret.id,
                metadata: ByteBuf::from(secret.metadata.encode().ok()?.expose()),
                changed_ms: secret.changed_ms,
                versions: secret.versions.clone(),
            })
        });
        let cached = Cached {
            format: CACHE_FORMAT,
            head: self.head,
            identity: self.identity.clone(),
            secrets: secrets.collect::<Option<_>>()?,
            removed: self.removed.iter().copied().collect(),
            former_names: self.former_names.clone().into_iter().collect(),
            changes: self.changes.clone().into_iter().collect(),
            lost: self.lost.clone(),
            credentials: self.credentials.to_list(),
            devices: self.credentials.devices().clone().into_iter().collect(),
            notes: self.notes.clone(),
            former_keys: self
                .former_keys
                .iter()
                .map(|former| (cached(&former.request_tag), cached(&former.local_store)))
                .collect(),
        };
        codec::encode(&cached).ok().map(SecretBytes::new)
    }

    /// Decodes an encoded index; `None` for other bytes, which costs a full replay.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let cached: Cached = codec::decode(bytes, bytes.len()).ok()?;
        if cached.format != CACHE_FORMAT {
            return None;
        }
        let secrets = cached.secrets.into_iter().map(|secret| {
            let restored = Secret {
                id: secret.id,
                metadata: Metadata::decode(&secret.metadata).ok()?,
                changed_ms: secret.changed_ms,
                versions: secret.versions,
            };
            Some((secret.id, restored))
        });
        let secrets: BTreeMap<_, _> = secrets.collect::<Option<_>>()?;
        let mut names: BTreeMap<SecretName, BTreeSet<SecretId>> = BTreeMap::new();
        for (id, secret) in &secrets {
            let name = secret.metadata.name.clone();
            names.entry(name).or_default().insert(*id);
        }
        let former_keys = cached.former_keys.iter();
        Some(Self {
            head: cached.head,
            identity: cached.identity,
            names,
            secrets,
            removed: cached.removed.into_iter().collect(),
            former_names: cached.former_names.into_iter().collect(),
            changes: cached.changes.into_iter().collect(),
            lost: cached.lost,
            credentials: Credentials::from_lists(cached.credentials, cached.devices),
            notes: cached.notes,
            former_keys: former_keys
                .map(|(request_tag, local_store)| {
                    Some(FormerKeys {
                        request_tag: Key::from_slice(request_tag.0.expose())?,
                        local_store: Key::from_slice(local_store.0.expose())?,
                    })
                })
                .collect::<Option<_>>()?,
        })
    }
}
