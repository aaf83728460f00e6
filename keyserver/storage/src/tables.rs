//! The tables and their keys. Every key of an account's data begins with the account's id, or with the id of its log,
//! which the account's row names; [`own`] is the only function that makes such keys: the data of other accounts is out
//! of reach by construction. Numbers in keys are big-endian, so that keys are in the order of the numbers.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};
use shared::ids::{AccountId, SecretId, Seq, Version};
use shared::named_enum;
use shared::opaque::Slot;

use crate::error::StorageError;

/// Number of the schema; increases with every change of tables, keys or rows.
pub const SCHEMA: u32 = 2;
/// Key of that number in [`Table::Meta`].
pub const SCHEMA_KEY: &[u8] = b"schema";

/// The pseudo-account of the audit records about names without an account. These are never read.
pub const NOBODY: AccountId = AccountId::new([0; 16]);

/// Id of a vault log: its entries, and the values and states that belong to it, are stored under this. Only the row of
/// the account names its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogId(AccountId);

impl LogId {
    /// The log of an account whose account key was never replaced.
    pub fn first(account: AccountId) -> Self {
        Self(account)
    }

    /// A fresh log.
    pub fn random() -> Self {
        Self(AccountId::random())
    }

    /// The first bytes of all of its keys.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// A key of the log's data.
    pub fn own(&self, rest: &[&[u8]]) -> Vec<u8> {
        own(&self.0, rest)
    }
}

named_enum! {
    /// A table from bytes to bytes. Engines store it under its name, which is also part of the associated data of sealed
    /// rows.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub enum Table {
        /// `schema` → number of the schema, 4 bytes, big-endian.
        Meta = "meta",
        /// account → account, sealed.
        Accounts = "accounts",
        /// digest of a name → account.
        Names = "names",
        /// log, sequence number → signed entry.
        Vault = "vault",
        /// log → its head.
        Heads = "heads",
        /// log, secret → its state, and the bytes of its values.
        Secrets = "secrets",
        /// log, label of a slot → the newest generation of the slot's credential that the log names.
        Generations = "generations",
        /// log, secret, version → sealed value.
        Values = "values",
        /// log → bytes in use, 8 bytes, big-endian.
        Usage = "usage",
        /// account, index → audit record, sealed.
        Records = "records",
        /// account, level, index → hash of a complete node of the audit tree.
        Nodes = "nodes",
        /// account → size of the audit tree, and time of its newest record.
        Trees = "trees",
        /// digest → attempts counted for a name, an address, or a pair of both.
        LoginThrottle = "login_throttle",
        /// minute in which the span ends, digest of a name → events counted in that span, sealed.
        LoginAggregates = "login_aggregates",
        /// SHA-256 of an invite code → when it expires, 8 bytes, big-endian; 0 for a used one.
        Invites = "invites",
        /// account → the log that is re-encrypted under a new account key, sealed.
        Stages = "stages",
        /// name of a table → how many rows it has, 8 bytes, big-endian; of tables whose size is limited.
        Counters = "counters",
    }
}

impl Table {
    /// The tables whose keys begin with the id of an account.
    pub const OF_ACCOUNTS: [Self; 5] = [
        Self::Accounts,
        Self::Records,
        Self::Nodes,
        Self::Trees,
        Self::Stages,
    ];
    /// The tables whose keys begin with the id of a log.
    pub const OF_LOGS: [Self; 6] = [
        Self::Vault,
        Self::Heads,
        Self::Secrets,
        Self::Generations,
        Self::Values,
        Self::Usage,
    ];

    /// Its position in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The error for a row that is missing or malformed.
    pub fn damaged(self) -> StorageError {
        StorageError::Failed(format!("a row of table {} is damaged", self.name()))
    }

    /// Fails with [`Self::damaged`] unless `is_sound`.
    pub fn check(self, is_sound: bool) -> Result<(), StorageError> {
        is_sound.then_some(()).ok_or_else(|| self.damaged())
    }
}

/// Checks the value under [`SCHEMA_KEY`]. An engine that finds only some of the tables calls this first, since a database
/// of another schema has other tables.
///
/// # Errors
/// [`StorageError::Failed`] for another schema than [`SCHEMA`], saying whether it is older or newer.
pub fn check_schema(stored: &[u8]) -> Result<(), StorageError> {
    let stored = stored.try_into().map_err(|_| Table::Meta.damaged())?;
    let stored = u32::from_be_bytes(stored);
    let (age, advice) = match stored.cmp(&SCHEMA) {
        Ordering::Equal => return Ok(()),
        Ordering::Greater => ("newer", "use a newer keyserver"),
        Ordering::Less => (
            "older",
            "no released keyserver wrote it: begin with an empty data folder",
        ),
    };
    Err(StorageError::Failed(format!(
        "the database has schema {stored}, which is {age} than schema {SCHEMA} of this keyserver: {advice}"
    )))
}

/// A key of an account's own data.
pub fn own(account: &AccountId, rest: &[&[u8]]) -> Vec<u8> {
    let mut key = account.as_bytes().to_vec();
    for part in rest {
        key.extend_from_slice(part);
    }
    key
}

/// Key of an entry.
pub fn entry(log: &LogId, seq: Seq) -> Vec<u8> {
    log.own(&[&seq.0.to_be_bytes()])
}

/// Key of a secret.
pub fn secret(log: &LogId, secret: &SecretId) -> Vec<u8> {
    log.own(&[secret.as_bytes()])
}

/// Key of a credential's newest generation.
pub fn generation(log: &LogId, slot: &Slot) -> Vec<u8> {
    log.own(&[&slot.label()])
}

/// Key of a value.
pub fn value(log: &LogId, secret: &SecretId, version: Version) -> Vec<u8> {
    log.own(&[secret.as_bytes(), &version.0.to_be_bytes()])
}

/// Key of an audit record.
pub fn record(account: &AccountId, index: u64) -> Vec<u8> {
    own(account, &[&index.to_be_bytes()])
}

/// Key of a tree node.
pub fn node(account: &AccountId, level: u8, index: u64) -> Vec<u8> {
    own(account, &[&[level], &index.to_be_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_tables_are_listed_in_their_order() {
        for (index, table) in Table::ALL.into_iter().enumerate() {
            assert_eq!(table.index(), index, "{table:?}");
        }
        assert_eq!(Table::Counters.index() + 1, Table::ALL.len());
    }
}
