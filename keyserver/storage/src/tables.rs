//! The tables and their keys. Every key of an account's data begins with the account's id, and [`own`] is the only
//! function that makes such keys: the data of other accounts is out of reach by construction. Numbers in keys are
//! big-endian, so that keys are in the order of the numbers.

use shared::ids::{AccountId, SecretId, Seq, Version};
use shared::opaque::Slot;

use crate::error::StorageError;

/// Number of the schema; increases with every change of tables, keys or rows.
pub const SCHEMA: u32 = 3;

/// The pseudo-account of the audit records about names without an account. These are never read.
pub const NOBODY: AccountId = AccountId::new([0; 16]);

/// A table from bytes to bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// `schema` → number of the schema, 4 bytes, big-endian.
    Meta,
    /// account → account, sealed.
    Accounts,
    /// digest of a name → account.
    Names,
    /// account, sequence number → signed entry.
    Vault,
    /// account → head of its vault log.
    Heads,
    /// account, secret → its state, the bytes of its content, when it was removed.
    Secrets,
    /// account, label of a slot → the newest generation of the slot's credential that the log names.
    Generations,
    /// account, secret, version → sealed value.
    Values,
    /// account, secret, version, sequence number of the entry that names it → sealed metadata.
    Metadata,
    /// account, sequence number of the entry that names it → sealed note.
    Notes,
    /// account → bytes of its content, 8 bytes, big-endian.
    Usage,
    /// account, label of a slot → the account key of the newest epoch, encapsulated to the slot's credential.
    SlotKeys,
    /// account → its former account keys, sealed under the newest one.
    KeyHistories,
    /// account, index → audit record, sealed.
    Records,
    /// account, level, index → hash of a complete node of the audit tree.
    Nodes,
    /// account → size of the audit tree, time of its newest record, and records counted against the budget.
    Trees,
    /// digest → attempts counted for a name, an address, or a pair of both.
    LoginThrottle,
    /// minute in which the span ends, digest of a name → events counted in that span, sealed.
    LoginAggregates,
    /// SHA-256 of an invite code → when it expires, 8 bytes, big-endian; 0 for a used one.
    Invites,
    /// name of a table → how many rows it has, 8 bytes, big-endian; of tables whose size is limited.
    Counters,
}

impl Table {
    /// All tables.
    pub const ALL: [Self; 20] = [
        Self::Meta,
        Self::Accounts,
        Self::Names,
        Self::Vault,
        Self::Heads,
        Self::Secrets,
        Self::Generations,
        Self::Values,
        Self::Metadata,
        Self::Notes,
        Self::Usage,
        Self::SlotKeys,
        Self::KeyHistories,
        Self::Records,
        Self::Nodes,
        Self::Trees,
        Self::LoginThrottle,
        Self::LoginAggregates,
        Self::Invites,
        Self::Counters,
    ];

    /// Whether its keys begin with the id of an account: what it holds is deleted with the account.
    pub const fn is_of_accounts(self) -> bool {
        match self {
            Self::Accounts
            | Self::Vault
            | Self::Heads
            | Self::Secrets
            | Self::Generations
            | Self::Values
            | Self::Metadata
            | Self::Notes
            | Self::Usage
            | Self::SlotKeys
            | Self::KeyHistories
            | Self::Records
            | Self::Nodes
            | Self::Trees => true,
            Self::Meta
            | Self::Names
            | Self::LoginThrottle
            | Self::LoginAggregates
            | Self::Invites
            | Self::Counters => false,
        }
    }

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
            Self::Metadata => "metadata",
            Self::Notes => "notes",
            Self::Usage => "usage",
            Self::SlotKeys => "slot_keys",
            Self::KeyHistories => "key_histories",
            Self::Records => "records",
            Self::Nodes => "nodes",
            Self::Trees => "trees",
            Self::LoginThrottle => "login_throttle",
            Self::LoginAggregates => "login_aggregates",
            Self::Invites => "invites",
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

/// Key of an entry, and of the note that it names.
pub fn entry(account: &AccountId, seq: Seq) -> Vec<u8> {
    own(account, &[&seq.0.to_be_bytes()])
}

/// Key of a secret.
pub fn secret(account: &AccountId, secret: &SecretId) -> Vec<u8> {
    own(account, &[secret.as_bytes()])
}

/// Key of a slot.
pub fn slot(account: &AccountId, slot: &Slot) -> Vec<u8> {
    own(account, &[&slot.label()])
}

/// Key of a value; all metadata of the version begins with it.
pub fn version(account: &AccountId, secret: &SecretId, version: Version) -> Vec<u8> {
    own(account, &[secret.as_bytes(), &version.0.to_be_bytes()])
}

/// Key of metadata.
pub fn metadata(account: &AccountId, secret: &SecretId, version: Version, seq: Seq) -> Vec<u8> {
    let seq = seq.0.to_be_bytes();
    own(
        account,
        &[secret.as_bytes(), &version.0.to_be_bytes(), &seq],
    )
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
