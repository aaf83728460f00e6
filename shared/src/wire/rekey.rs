//! Replacing the account key: the vault log is told again under the new one, entry for entry and beside the old log,
//! over as many requests as it takes, and then put in the place of the old one at once.

use serde::{Deserialize, Serialize};

use crate::ids::PublicKey;
use crate::vault_log::Head;
use crate::wire::register::WrappedKey;

/// Begins the log anew. What another attempt had prepared is dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewLog {
    /// The key that signs it (Ed25519); descends from the new account key.
    pub log_key: PublicKey,
    /// The new account key, wrapped under the export key of the password that holds: with the password the
    /// device can go on where it was broken off.
    pub wrapped: WrappedKey,
}

/// How far it has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prepared {
    /// What it was begun with.
    pub log: NewLog,
    /// Where it ends so far.
    pub head: Head,
}
