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
    /// Records of the account's own sessions, less those that the budget was refilled by: only these count against it.
    pub billed: u64,
    /// Until when it was refilled, in milliseconds since 1970-01-01 UTC.
    pub refilled_ms: u64,
}

/// Time in which the whole record budget of an account is refilled, in milliseconds.
const REFILL_MS: u64 = 30 * 24 * 60 * 60 * 1000;

impl Tree {
    /// The tree with its budget of `quota` records refilled up to now.
    #[must_use]
    pub fn refilled(self, quota: u64, now_ms: u64) -> Self {
        // A time in the future means that the clock was set back.
        let since_ms = self.refilled_ms.min(now_ms);
        let refill = u128::from(now_ms - since_ms) * u128::from(quota) / u128::from(REFILL_MS);
        let refill = u64::try_from(refill).unwrap_or(u64::MAX);
        if refill >= self.billed {
            return Self {
                billed: 0,
                refilled_ms: now_ms,
                ..self
            };
        }
        // A remainder shorter than one record is carried over to the next refill.
        let took_ms = u128::from(refill) * u128::from(REFILL_MS);
        let took_ms = took_ms.div_ceil(u128::from(quota.max(1)));
        Self {
            billed: self.billed - refill,
            refilled_ms: since_ms + u64::try_from(took_ms).unwrap_or(u64::MAX),
            ..self
        }
    }
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
            seen: Vec::new(),
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
