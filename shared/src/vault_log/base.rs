//! Limits, the head of a log, and errors.

use serde::{Deserialize, Serialize};

use crate::codec::CodecError;
use crate::ids::{Digest, Seq};

/// Format version of an entry.
pub const ENTRY_FORMAT: u8 = 2;
/// Longest encoded entry, in bytes; a credential's public keys take most of it.
pub const MAX_ENTRY_LEN: usize = 3 * 1024;
/// Longest sealed metadata or note, in bytes.
pub const MAX_METADATA_LEN: usize = 65 * 1024;
/// Key epoch of the first account key.
pub const FIRST_EPOCH: u32 = 1;
/// Highest key epoch: the key history of an account holds one key per former epoch, and its length is bounded.
pub const MAX_EPOCH: u32 = 1000;
/// Length of a slot's KEM public key (X-Wing), in bytes.
pub const KEM_KEY_LEN: usize = 1216;

/// Position of the last entry of a registration: `genesis`, then one `credential` for password and recovery code each.
pub const LAST_OF_REGISTRATION: Seq = Seq(3);

/// The newest position of a log and the hash of its entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// 0 for the empty log.
    pub seq: Seq,
    /// Zeros for the empty log.
    pub hash: Digest,
}

impl Head {
    /// Head of the empty log.
    pub const EMPTY: Self = Self {
        seq: Seq(0),
        hash: Digest::new([0; 32]),
    };
}

/// An entry is not valid at its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The bytes are no entry.
    #[error("vault log entry is malformed")]
    Malformed,
    /// The signature does not verify, or account or format differ from the expected ones.
    #[error("vault log entry is not signed by the account's key")]
    BadSignature,
    /// Position or previous hash do not continue the log.
    #[error("vault log entry {got} does not continue the log at position {expected}")]
    NotNext {
        /// Position that would continue the log.
        expected: Seq,
        /// Position in the entry.
        got: Seq,
    },
    /// The operation needs the authorisation of a credential, and has none that verifies.
    #[error(
        "vault log entry is not authorised by the password, the recovery code or the device that it concerns"
    )]
    Unauthorised,
    /// The operation contradicts the state of the secret, slot or epoch.
    #[error("vault log entry contradicts the entries before it")]
    Contradiction,
}

impl From<CodecError> for LogError {
    fn from(_: CodecError) -> Self {
        Self::Malformed
    }
}
