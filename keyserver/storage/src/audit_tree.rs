//! The Merkle tree over an account's audit records, as it is stored.

use serde::{Deserialize, Serialize};
use shared::checkpoint::TreeHead;
use shared::ids::{AccountId, Digest};
use shared::merkle::{self, Nodes};

use crate::api::AuditPage;
use crate::error::StorageError;
use crate::tables::{self, Table};
use crate::view::View;

/// The row of an account's audit tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tree {
    /// Number of records.
    pub size: u64,
    /// Time of the newest record, in milliseconds since 1970-01-01 UTC.
    pub newest_ms: u64,
    /// Records of the account's own sessions: only these count against its quota.
    pub billed: u64,
}

/// The complete nodes of an account's audit tree.
#[derive(Clone, Copy)]
pub struct StoredNodes<'a> {
    /// The snapshot or transaction.
    pub view: View<'a>,
    /// The account.
    pub account: &'a AccountId,
}

impl StoredNodes<'_> {
    /// The tree of this size with its consistency proof from `verified_size`, without records.
    pub fn page(&self, size: u64, verified_size: u64) -> Result<AuditPage, StorageError> {
        let head = TreeHead {
            size,
            root: merkle::root(self, size)?,
        };
        let consistency = if verified_size <= size {
            merkle::consistency_proof(self, verified_size, size)?
        } else {
            Vec::new()
        };
        Ok(AuditPage {
            records: Vec::new(),
            head,
            consistency,
            inclusion: Vec::new(),
        })
    }
}

impl Nodes for StoredNodes<'_> {
    type Error = StorageError;

    fn node(&self, level: u8, index: u64) -> Result<Digest, StorageError> {
        let key = tables::node(self.account, level, index);
        self.view
            .get(Table::Nodes, &key)?
            .and_then(|hash| Digest::from_slice(&hash))
            .ok_or_else(|| Table::Nodes.damaged())
    }
}

impl<'a> View<'a> {
    /// The state of an account's audit tree.
    pub fn tree(self, account: &AccountId) -> Result<Tree, StorageError> {
        let tree = self.decode(Table::Trees, &tables::own(account, &[]))?;
        Ok(tree.unwrap_or_default())
    }

    /// The nodes of an account's audit tree.
    pub fn nodes(self, account: &'a AccountId) -> StoredNodes<'a> {
        StoredNodes {
            view: self,
            account,
        }
    }
}
