//! Appending to the vault log.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::vault_log::SignedEntry;

/// Appends at most [`crate::wire::limits::MAX_BATCH`] entries, all or none; answers with the new head.
///
/// Further refusals:
/// - `conflict`: the first entry does not continue the log, since another device was faster; carries the head;
/// - `bad_entry`: a wrong signature, an entry that breaks a rule of the log, names another device than the session's
///   or an audit head that this account never had, or a value whose hash the entry does not name;
/// - `too_large`: a sealed value longer than [`crate::wire::limits::MAX_SEALED_VALUE_LEN`];
/// - `needs_password`: `server` and `acknowledge` entries in a session that a device's credential opened; revocations
///   in one whose login with password or recovery code is more than five minutes old;
/// - `quota`, `disk_full`: no room for the entries; those that free room or revoke are still taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Append(pub Vec<NewEntry>);

/// An entry to append, with its value where the entry is a `put`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewEntry {
    /// The entry.
    pub entry: SignedEntry,
    /// The sealed value whose hash the entry names.
    pub value: Option<ByteBuf>,
}
