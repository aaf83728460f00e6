//! Appending to the vault log.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::vault_log::SignedEntry;

/// Appends at most [`crate::wire::limits::MAX_BATCH`] entries, all or none; answers with the new head.
///
/// Further refusals:
/// - `conflict`: the first entry does not continue the log, since another device was faster; carries the head;
/// - `bad_entry`: a wrong signature, an entry that breaks a rule of the log, names another device than the session's
///   or an audit head that this account never had, content whose hash the entry does not name, or an entry of
///   [`crate::wire::slots::Install`] (`credential`, `rekey`, `acknowledge`);
/// - `too_large`: a sealed value longer than [`crate::wire::limits::MAX_SEALED_VALUE_LEN`], or metadata longer than
///   [`crate::vault_log::MAX_METADATA_LEN`];
/// - `needs_password`: `reseal`, and `purge` of anything but a secret that was removed more than 30 days ago, unless the
///   session was opened with password or recovery code within the last five minutes;
/// - `quota`, `disk_full`: no room for the entries; those that free room are still taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Append(pub Vec<NewEntry>);

/// An entry to append, with the content whose hashes it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewEntry {
    /// The entry.
    pub entry: SignedEntry,
    /// The sealed value.
    pub value: Option<ByteBuf>,
    /// The sealed metadata or note.
    pub metadata: Option<ByteBuf>,
}
