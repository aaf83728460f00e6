//! The tables and their keys. Every key of an account's data begins with the account's id, or with the id of its log,
//! which the account's row names; [`own`] is the only function that makes such keys: the data of other accounts is out
//! of reach by construction. Numbers in keys are big-endian, so that keys are in the order of the numbers.

use serde::{Deserialize, Serialize};
use shared::ids::{AccountId, SecretId, Seq, Version};
use shared::opaque::Slot;

use crate::error::StorageError;

/// Number of the schema; increases with every change of tables, keys or rows.
pub const SCHEMA: u32 = 2;

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

/// A table from bytes to bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// `schema` → number of the schema, 4 bytes, big-endian.
    Meta,
    /// account → account, sealed.
    Accounts,
    /// digest of a name → account.
    Names,
    /// log, sequence number → signed entry.
    Vault,
    /// log → its head.
    Heads,
    /// log, secret → its state, and the bytes of its values.
    Secrets,
    /// log, label of a slot → the newest generation of the slot's credential that the log names.
    Generations,
    /// log, secret, version → sealed value.
    Values,
    /// log → bytes in use, 8 bytes, big-endian.
    Usage,
    /// account, index → audit record, sealed.
    Records,
    /// account, level, index → hash of a complete node of the audit tree.
    Nodes,
    /// account → size of the audit tree, and time of its newest record.
    Trees,
    /// digest → attempts counted for a name, an address, or a pair of both.
    LoginThrottle,
    /// minute in which the span ends, digest of a name → events counted in that span, sealed.
    LoginAggregates,
    /// SHA-256 of an invite code → when it expires, 8 bytes, big-endian; 0 for a used one.
    Invites,
    /// account → the log that is re-encrypted under a new account key, sealed.
    Stages,
    /// name of a table → how many rows it has, 8 bytes, big-endian; of tables whose size is limited.
    Counters,
}

impl Table {
    /// All tables.
    pub const ALL: [Self; 17] = [
        Self::Meta,
        Self::Accounts,
        Self::Names,
        Self::Vault,
        Self::Heads,
        Self::Secrets,
        Self::Generations,
        Self::Values,
        Self::Usage,
        Self::Records,
        Self::Nodes,
        Self::Trees,
        Self::LoginThrottle,
        Self::LoginAggregates,
        Self::Invites,
        Self::Stages,
        Self::Counters,
    ];
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

    /// Its name, which engines store it under; also part of the associated data of sealed rows.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Accounts => "accounts",
            Self::Names => "names",
            Self::Vault => "vault",
            Self::Heads => "heads",
            Self::Secrets => "secrets",
            Self::Generations => "generations",
            Self::Values => "values",
            Self::Usage => "usage",
            Self::Records => "records",
            Self::Nodes => "nodes",
            Self::Trees => "trees",
            Self::LoginThrottle => "login_throttle",
            Self::LoginAggregates => "login_aggregates",
            Self::Invites => "invites",
            Self::Stages => "stages",
            Self::Counters => "counters",
        }
    }

    /// Its position in [`Self::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The error for a row that is missing or malformed.
    pub fn damaged(self) -> StorageError {
        StorageError::Failed(format!("a row of table {} is damaged", self.name()))
    }
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
