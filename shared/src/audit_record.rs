//! Audit records, one per operation that the server carried out, and the tags by which the owner recognises
//! operations of their own devices.

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::ids::{DeviceId, Digest, RequestTag, SecretId, SessionId};
use crate::kdf;
use crate::merkle;
use crate::named_enum;
use crate::secret::Key;

/// Format version of a record.
pub const RECORD_FORMAT: u8 = 1;
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
        /// Part of the vault log was re-encrypted for a new account key, or read back.
        Rewrite = "rewrite",
        /// The account key was replaced.
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
            Self::Put | Self::Describe | Self::Remove | Self::Append | Self::Slot | Self::Rekey
        )
    }

    /// Whether the operation belongs to a session, so that its record must carry a tag.
    pub fn needs_tag(self) -> bool {
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
    /// The device that the request named.
    pub device: Option<DeviceId>,
    /// IP address of the sender, without port, or [`MANY_ADDRESSES`].
    pub remote: String,
    /// The tag that came with the request.
    pub tag: Option<RequestTag>,
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

/// Input of the tag of one operation in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TagInput<'a> {
    /// The session.
    pub session: &'a SessionId,
    /// Number of the request in the session, from 1.
    pub counter: u64,
    /// Position of the operation within the request, from 0.
    pub position: u32,
    /// The device that sends the request.
    pub device: &'a DeviceId,
    /// The operation.
    pub operation: AuditedOperation,
    /// The secret that is read or changed.
    pub secret: Option<&'a SecretId>,
}

impl TagInput<'_> {
    /// The tag: HMAC-SHA-256 under the request tag key, which descends from the account key.
    pub fn tag(&self, key: &Key) -> RequestTag {
        RequestTag::new(kdf::mac(
            key.expose(),
            &[
                b"keyshell/1 request tag",
                self.session.as_bytes(),
                &self.counter.to_be_bytes(),
                &self.position.to_be_bytes(),
                self.device.as_bytes(),
                self.operation.name().as_bytes(),
                self.secret.map_or(&[], |id| id.as_bytes().as_slice()),
            ],
        ))
    }
}
