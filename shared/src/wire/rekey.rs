//! Replacing the account key: each log entry is re-encrypted and signed again under the new key, into a second log
//! beside the current one and over any number of requests; [`Rekey`] then replaces the current log in one
//! transaction.
//!
//! A further refusal of all of these is `needs_password`, in a session that a device's credential opened.

use serde::{Deserialize, Serialize};

use crate::ids::{PublicKey, Seq};
use crate::vault_log::Head;
use crate::wire::append::NewEntry;
use crate::wire::register::WrappedKey;
use crate::wire::slots::Install;

/// Begins a second log and drops the one of an earlier attempt; answered as [`ReadPrepared`] is.
///
/// Further refusals: `bad_entry` unless the wrapped key's epoch is the next one and at most
/// [`crate::vault_log::MAX_EPOCH`]; `disk_full`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewLog {
    /// The key that signs the second log (Ed25519); descends from the new account key.
    pub log_key: PublicKey,
    /// The new account key, wrapped under the export key of the current password, so that the password suffices to
    /// resume.
    pub wrapped: WrappedKey,
}

/// Reads how far the second log has come; `None` if none was begun. No further refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadPrepared;

/// State of the second log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared {
    /// The request that began it.
    pub log: NewLog,
    /// Head of the second log.
    pub head: Head,
}

/// Appends to the second log, all or none; answers with its new head. Each entry re-encrypts the one at the same
/// position of the current log.
///
/// Further refusals: `malformed` without entries or with more than [`crate::wire::limits::MAX_BATCH`]; `bad_entry`
/// also if no second log was begun; `conflict`, `too_large`, `quota` and `disk_full` like
/// [`crate::wire::call::Append`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rewrite(pub Vec<NewEntry>);

/// Reads entries of the second log after a position, as many as fit; none if no log was begun. No further refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReadRewritten(pub Seq);

/// Puts the second log in the place of the current one, together with the staged credentials, which wrap the new
/// account key, and ends all other sessions; answers with the new head. The entries are one `rekey`, one `credential`
/// per staged credential, and one revocation for each other slot.
///
/// Further refusals:
/// - `conflict`: the current log has entries that the second one lacks; the credentials stay staged;
/// - `malformed` if nothing is staged, `login_refused` if a KE3 does not prove its credential;
/// - `bad_entry`: the entries are not those described above, or no second log was begun;
/// - `needs_password` also if the login with password or recovery code is more than five minutes old;
/// - `quota`, `disk_full`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rekey(pub Install);
