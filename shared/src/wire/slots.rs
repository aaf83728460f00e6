//! Credentials of an account that exists: listed, prepared, proven, and only then put in the place of the old ones.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::ids::{DeviceId, Digest};
use crate::opaque::Slot;
use crate::vault_log::SignedEntry;
use crate::wire::bounded::sequence;
use crate::wire::limits::{MAX_SESSIONS, MAX_SLOTS};
use crate::wire::register::{SlotRecord, WrappedKey};

/// New credentials, each with the first message of a login by it: nothing is replaced yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// One a slot, in the order of the registration requests.
    pub slots: Vec<SlotRecord>,
    /// RFC 9807 `KE1`, 96 bytes, one a slot.
    pub ke1: Vec<ByteBuf>,
}

/// The last messages of those logins: once all of them are proven, the new credentials take the place of the old ones,
/// in one transaction with the entries that say so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Install {
    /// RFC 9807 `KE3`, 64 bytes, one a slot.
    pub ke3: Vec<ByteBuf>,
    /// One a slot, in the same order; none at all to replace the credential of this session's device, where it has one.
    pub entries: Vec<SignedEntry>,
}

/// What there is, as the server says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotsAnswer {
    /// The credentials.
    #[serde(deserialize_with = "sequence::<_, _, MAX_SLOTS>")]
    pub slots: Vec<SlotInfo>,
    /// The open sessions.
    #[serde(deserialize_with = "sequence::<_, _, MAX_SESSIONS>")]
    pub sessions: Vec<SessionInfo>,
}

/// One credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotInfo {
    /// Which.
    pub slot: Slot,
    /// How many times it was set.
    pub generation: u64,
    /// SHA-256 of the account key wrapped under its export key.
    pub wrapped: Digest,
}

impl SlotInfo {
    /// What there is to say of the credential whose export key wraps the account key so.
    pub fn new(slot: Slot, wrapped: &WrappedKey) -> Self {
        Self {
            slot,
            generation: wrapped.generation,
            wrapped: Digest::of(&wrapped.blob),
        }
    }
}

/// One open session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionInfo {
    /// By which credential it was opened.
    pub slot: Slot,
    /// The device that its requests name; `None` before the first.
    pub device: Option<DeviceId>,
    /// Address that its login came from.
    pub remote: String,
    /// Seconds since it was opened.
    pub age_seconds: u64,
    /// Seconds since its last request.
    pub idle_seconds: u64,
    /// Whether it is the one that asks.
    pub own: bool,
}

/// An account that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    /// The last checkpoint of its audit log, which covers the record of the deletion: a receipt.
    pub checkpoint: String,
    /// Proof from the size that the client named to that checkpoint.
    pub consistency: Vec<Digest>,
}
