//! Audit records: one per operation that the server carried out, with the signature of the device that asked for it.

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::ids::{DeviceId, Digest, SecretId, SessionId, Signature};
use crate::merkle;
use crate::named_enum;
use crate::request::Opening;

/// Format version of a record.
pub const RECORD_FORMAT: u8 = 2;
/// Longest encoded record, in bytes.
pub const MAX_RECORD_LEN: usize = 512;

/// Replaces the address in a record that counts the attempts of many senders.
pub const MANY_ADDRESSES: &str = "others";

named_enum! {
    /// An operation in an audit record. The wire and the command line use its name.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    pub enum AuditedOperation {
        /// The account was created.
        Register = "register",
        /// A login was started.
        LoginStart = "login_start",
        /// A login succeeded, or its proof was wrong.
        Login = "login",
        /// The session was closed by its client.
        Logout = "logout",
        /// Log entries were read.
        Sync = "sync",
        /// A value was read.
        Get = "get",
        /// A value was stored.
        Put = "put",
        /// Metadata was replaced.
        Describe = "describe",
        /// A secret was removed.
        Remove = "remove",
        /// A removed secret was restored.
        Restore = "restore",
        /// Content was destroyed.
        Purge = "purge",
        /// A version was re-encrypted under a later account key.
        Reseal = "reseal",
        /// Another entry of the vault log was stored.
        Append = "append",
        /// The audit log was read.
        Audit = "audit",
        /// A credential was created, replaced or revoked.
        Slot = "slot",
        /// The credentials were listed.
        Slots = "slots",
        /// A credential was prepared, or the credential of the requesting device was replaced without an entry.
        Enrol = "enrol",
        /// The account was deleted.
        Delete = "delete",
        /// A key epoch was begun.
        Rekey = "rekey",
    }
}

impl AuditedOperation {
    /// The operation of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    /// Whether the operation, if done, appended an entry to the vault log.
    pub fn is_change(self) -> bool {
        matches!(
            self,
            Self::Put
                | Self::Reseal
                | Self::Describe
                | Self::Remove
                | Self::Restore
                | Self::Purge
                | Self::Append
                | Self::Slot
                | Self::Rekey
        )
    }

    /// Whether the operation is asked for in a session, so that its record carries a signature.
    pub fn is_signed(self) -> bool {
        !matches!(self, Self::Register | Self::LoginStart | Self::Login)
    }
}

/// The outcome of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The operation was done.
    Done,
    /// The value does not exist.
    NotFound,
    /// Another device had changed the log.
    Conflict,
    /// The operation was refused: wrong proof, bad entry, over a limit.
    Refused,
}

/// One record. The hash of the encoded record is a leaf of the account's audit tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// [`RECORD_FORMAT`].
    pub format: u8,
    /// Position in the tree, from 0.
    pub index: u64,
    /// Clock of the server, in milliseconds since 1970-01-01 UTC; never decreases within a log.
    pub time_ms: u64,
    /// The operation.
    pub operation: AuditedOperation,
    /// The secret that was read or changed.
    pub secret: Option<SecretId>,
    /// The outcome.
    pub outcome: Outcome,
    /// The session; `None` before login.
    pub session: Option<SessionId>,
    /// Number of the request in the session, from 1; 0 before login.
    pub counter: u64,
    /// Position of the operation within the request, from 0.
    pub position: u32,
    /// The device whose key signed the request.
    pub device: Option<DeviceId>,
    /// IP address of the sender, without port, or [`MANY_ADDRESSES`].
    pub remote: String,
    /// The device's signature over the operation.
    pub signature: Option<Signature>,
    /// Hash of the vault log entry that the operation appends: the audit log commits to the vault log.
    pub entry: Option<Digest>,
    /// Authorisation of the device's key, in the records of a session's first request.
    pub opening: Option<Opening>,
    /// Number of equal operations in this record: 1, or more for aggregated login attempts.
    pub count: u64,
}

impl Record {
    /// The bytes that are hashed into the tree.
    ///
    /// # Errors
    /// Those of [`codec::encode`]; every record can be encoded.
    pub fn encode(&self) -> Result<Vec<u8>, codec::CodecError> {
        codec::encode(self)
    }

    /// The leaf hash of an encoded record (RFC 9162, section 2.1.1).
    pub fn leaf_hash(encoded: &[u8]) -> Digest {
        merkle::leaf_hash(encoded)
    }
}
