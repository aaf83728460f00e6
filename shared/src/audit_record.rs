//! Audit records: what the server writes down of every operation, and the tags by which the owner knows their own.

use serde::{Deserialize, Serialize};

use crate::codec;
use crate::ids::{DeviceId, Digest, RequestTag, SecretId, SessionId};
use crate::kdf;
use crate::merkle;
use crate::secret::Key;

/// Format number of a record.
pub const RECORD_FORMAT: u8 = 1;
/// Longest encoded record, in bytes.
pub const MAX_RECORD_LEN: usize = 512;

/// Stands for the address in a record that counts what many senders did.
pub const MANY_ADDRESSES: &str = "others";

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// The account was made.
    Register,
    /// A login was started; unfinished ones stay at this.
    LoginStart,
    /// A login was finished, or its proof was wrong.
    Login,
    /// A session was closed by its owner.
    Logout,
    /// Log entries were read.
    Sync,
    /// A value was read.
    Get,
    /// A value was stored.
    Put,
    /// Metadata were changed.
    Describe,
    /// A secret was removed.
    Remove,
    /// Another entry of the vault log was stored.
    Append,
    /// The audit log was read.
    Audit,
    /// A credential slot was made, replaced or removed.
    Slot,
    /// The credentials were listed.
    Slots,
    /// A credential was prepared; of a device that has one already it was also replaced.
    Enrol,
    /// The account was deleted.
    Delete,
    /// The vault log was prepared for a new account key: part of it was told again, or read back.
    Rewrite,
    /// The account key was replaced.
    Rekey,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Register,
        Self::LoginStart,
        Self::Login,
        Self::Logout,
        Self::Sync,
        Self::Get,
        Self::Put,
        Self::Describe,
        Self::Remove,
        Self::Append,
        Self::Audit,
        Self::Slot,
        Self::Slots,
        Self::Enrol,
        Self::Delete,
        Self::Rewrite,
        Self::Rekey,
    ];

    /// The operation of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    /// The name on the wire and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::LoginStart => "login_start",
            Self::Login => "login",
            Self::Logout => "logout",
            Self::Sync => "sync",
            Self::Get => "get",
            Self::Put => "put",
            Self::Describe => "describe",
            Self::Remove => "remove",
            Self::Append => "append",
            Self::Audit => "audit",
            Self::Slot => "slot",
            Self::Slots => "slots",
            Self::Enrol => "enrol",
            Self::Delete => "delete",
            Self::Rewrite => "rewrite",
            Self::Rekey => "rekey",
        }
    }

    /// Whether a record of it, where it was done, stands for an entry of the vault log.
    pub fn is_change(self) -> bool {
        matches!(
            self,
            Self::Put | Self::Describe | Self::Remove | Self::Append | Self::Slot | Self::Rekey
        )
    }

    /// Whether such an operation happens inside a session, so that a record of it must carry a tag.
    pub fn needs_tag(self) -> bool {
        !matches!(self, Self::Register | Self::LoginStart | Self::Login)
    }
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Done.
    Done,
    /// Nothing there.
    NotFound,
    /// Another device was faster.
    Conflict,
    /// Refused: wrong proof, bad entry, over a limit.
    Refused,
}

/// One record. Its hash is a leaf of the account's audit tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// [`RECORD_FORMAT`].
    pub format: u8,
    /// Position in the tree, from 0.
    pub index: u64,
    /// The server's clock, in milliseconds since 1970-01-01 UTC; never goes back within a log.
    pub time_ms: u64,
    /// What was done.
    pub operation: Operation,
    /// With which secret.
    pub secret: Option<SecretId>,
    /// How it ended.
    pub outcome: Outcome,
    /// In which session.
    pub session: Option<SessionId>,
    /// Number of the request in that session; 0 outside one.
    pub counter: u64,
    /// Position of the operation within the request, from 0.
    pub position: u32,
    /// Which device said it was asking.
    pub device: Option<DeviceId>,
    /// Address that the request came from, without port; or [`MANY_ADDRESSES`].
    pub remote: String,
    /// The owner's mark, as it came with the request.
    pub tag: Option<RequestTag>,
    /// How many equal events this record stands for; 1 but for floods of login starts.
    pub count: u64,
}

impl Record {
    /// The bytes that are hashed.
    ///
    /// # Errors
    /// [`codec::CodecError`]; never for a record of this type.
    pub fn encode(&self) -> Result<Vec<u8>, codec::CodecError> {
        codec::encode(self)
    }

    /// The leaf hash of encoded record bytes (RFC 9162).
    pub fn leaf_hash(encoded: &[u8]) -> Digest {
        merkle::leaf_hash(encoded)
    }
}

/// What the owner's mark on an operation vouches for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marked<'a> {
    /// In which session.
    pub session: &'a SessionId,
    /// Number of the request in that session.
    pub counter: u64,
    /// Position of the operation within the request, from 0.
    pub position: u32,
    /// The device that asks.
    pub device: &'a DeviceId,
    /// What is asked for.
    pub operation: Operation,
    /// Of which secret.
    pub secret: Option<&'a SecretId>,
}

impl Marked<'_> {
    /// The mark: HMAC-SHA-256 under the request tag key, which descends from the account key.
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
