//! A secret and its versions, as the vault log names them.

use serde::{Deserialize, Serialize};
use shared::ids::{DeviceId, Digest, SecretId, Seq, Version};
use shared::wire::call::ValueRef;

use crate::index::metadata::Metadata;

/// One version of a secret's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionInfo {
    /// The version, from 1.
    pub version: Version,
    /// Position of the entry that stored it, or that re-encrypted it last.
    pub seq: Seq,
    /// Key epoch of its value.
    pub epoch: u32,
    /// SHA-256 of the sealed value.
    pub value_hash: Digest,
    /// When it was made, in milliseconds since 1970-01-01 UTC; for imported values by the file they came from, else by
    /// the device's clock.
    pub created_ms: u64,
    /// The device that stored it.
    pub device: DeviceId,
}

impl VersionInfo {
    /// The reference by which a request names this version of `secret`.
    pub fn reference(&self, secret: SecretId) -> ValueRef {
        ValueRef {
            secret,
            version: self.version,
        }
    }
}

/// A secret that was removed and can be restored.
#[derive(Debug, Clone, PartialEq)]
pub struct RemovedSecret {
    /// The secret as it was.
    pub secret: Secret,
    /// When it was removed, in milliseconds since 1970-01-01 UTC, by the clock of the device that did it.
    pub removed_ms: u64,
    /// When this device first saw the removal, in milliseconds since 1970-01-01 UTC.
    pub seen_ms: u64,
}

/// A secret that exists.
#[derive(Debug, Clone, PartialEq)]
pub struct Secret {
    /// Its id.
    pub id: SecretId,
    /// Its newest metadata.
    pub metadata: Metadata,
    /// Key epoch of the metadata.
    pub metadata_epoch: u32,
    /// When the metadata last changed, in milliseconds since 1970-01-01 UTC.
    pub changed_ms: u64,
    /// Its versions whose values were not destroyed, oldest first; never empty.
    pub versions: Vec<VersionInfo>,
}

impl Secret {
    /// The newest version.
    pub fn newest(&self) -> Option<&VersionInfo> {
        self.versions.last()
    }

    /// The given version; the newest for `None`.
    pub fn version(&self, version: Option<Version>) -> Option<&VersionInfo> {
        match version {
            None => self.newest(),
            Some(version) => self.versions.iter().find(|info| info.version == version),
        }
    }
}
