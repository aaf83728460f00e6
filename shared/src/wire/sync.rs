//! Reading the vault log from a position on.

use serde::{Deserialize, Serialize};

use serde_bytes::ByteBuf;

use crate::ids::{Digest, Seq};
use crate::vault_log::{Head, SignedEntry};
use crate::wire::bounded::sequence;
use crate::wire::limits::{MAX_PAGE, MAX_SEEN};

/// Reads log entries after a position, and the newest audit checkpoint with its consistency proof. The first request
/// of every session. No further refusals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sync {
    /// Newest position that the client has.
    pub after: Seq,
    /// Size of the newest audit checkpoint that the client has verified; 0 for none.
    pub audit_size: u64,
}

/// An entry of the log with the content that a client needs to replay it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedEntry {
    /// The entry.
    pub entry: SignedEntry,
    /// The sealed metadata or note that the entry names; `None` where a later entry destroyed or re-encrypted it.
    pub metadata: Option<ByteBuf>,
}

impl LoggedEntry {
    /// Length of the entry and its content, in bytes.
    pub fn size(&self) -> usize {
        self.entry.size() + self.metadata.as_ref().map_or(0, |sealed| sealed.len())
    }
}

/// Answer to [`Sync`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncAnswer {
    /// Entries from `after + 1` on: all, or at least 1 MiB with their content, or [`MAX_PAGE`] of them, or those with the
    /// `seen` of [`MAX_SEEN`] devices.
    #[serde(deserialize_with = "sequence::<_, _, MAX_PAGE>")]
    pub entries: Vec<LoggedEntry>,
    /// The log's head in the snapshot that the entries were read from.
    pub head: Head,
    /// The newest audit checkpoint, a signed note (C2SP `tlog-checkpoint`).
    pub checkpoint: String,
    /// Consistency proof (RFC 9162, section 2.1.4) from `audit_size` to that checkpoint.
    pub consistency: Vec<Digest>,
    /// Consistency proofs to that checkpoint, one from the newest `seen` of each device in `entries`, in ascending order
    /// of size and without duplicates; none from the size of the checkpoint.
    #[serde(deserialize_with = "sequence::<_, _, MAX_SEEN>")]
    pub seen: Vec<Vec<Digest>>,
}
