//! Deleting an account.

use serde::{Deserialize, Serialize};

use crate::ids::Digest;

/// Deletes the account with everything that belongs to it, and ends all of its sessions. Holds the size of the newest
/// audit checkpoint that the client has verified; 0 for none.
///
/// Further refusals: `needs_password` unless the session was opened with password or recovery code within the last
/// five minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Delete(pub u64);

/// Answer to [`Delete`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    /// The last checkpoint of the account's audit log, a receipt: it covers the record of the deletion.
    pub checkpoint: String,
    /// Consistency proof (RFC 9162, section 2.1.4) from the size in [`Delete`] to that checkpoint.
    pub consistency: Vec<Digest>,
}
