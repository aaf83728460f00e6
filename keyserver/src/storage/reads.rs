//! Reads, each on one snapshot.

use heed::{RoTxn, WithoutTls};
use serde_bytes::ByteBuf;
use shared::audit_record::Record;
use shared::checkpoint::TreeHead;
use shared::codec;
use shared::ids::{AccountId, Digest};
use shared::merkle::{self, Nodes};
use shared::vault_log::{Head, SignedEntry};
use shared::wire::error::Refusal;
use shared::wire::limits::{ANSWER_BUDGET, MAX_PAGE};
use shared::wire::slots::SlotInfo;

use crate::storage::api::{
    Account, AuditPage, ReadAudit, ReadEntries, ReadValues, StorageError, Which,
};
use crate::storage::lmdb::Lmdb;
use crate::storage::records::Tree;
use crate::storage::tables::{self, LogId, Tables};

/// What an inclusion proof adds to a record, in bytes: one hash a level of a tree of 2^40 records.
const PROOF_BUDGET: usize = 40 * 34;

impl Lmdb {
    pub(super) fn read_values(
        &self,
        read: &ReadValues,
    ) -> Result<Vec<Option<ByteBuf>>, StorageError> {
        self.snapshot(|txn| {
            let log = self.log(txn, &read.account)?;
            let mut values = Vec::new();
            let mut size = 0;
            for item in &read.items {
                let key = tables::value(&log, &item.secret, item.version);
                let value = self.tables.values.get(txn, &key)?;
                size += value.map_or(1, <[u8]>::len);
                if size > ANSWER_BUDGET && !values.is_empty() {
                    break;
                }
                values.push(value.map(|value| ByteBuf::from(value.to_vec())));
            }
            Ok(values)
        })
    }

    pub(super) fn read_entries(
        &self,
        read: &ReadEntries,
    ) -> Result<(Vec<SignedEntry>, Head), StorageError> {
        self.snapshot(|txn| {
            let log = match read.of {
                Which::Current => Some(self.log(txn, &read.account)?),
                Which::Prepared => self
                    .tables
                    .stage(txn, &self.keys, &read.account)?
                    .map(|stage| stage.log),
            };
            let Some(log) = log else {
                return Ok((Vec::new(), Head::EMPTY));
            };
            let head = self.tables.head(txn, &log)?;
            let mut entries = Vec::new();
            let mut size = 0;
            let mut seq = read.after.next();
            while seq <= head.seq && entries.len() < MAX_PAGE && size <= ANSWER_BUDGET {
                let key = tables::entry(&log, seq);
                let vault = &self.tables.vault;
                let row = vault.get(txn, &key)?.ok_or_else(|| vault.damaged())?;
                size += row.len();
                entries.push(codec::decode(row, row.len()).map_err(|_| vault.damaged())?);
                seq = seq.next();
            }
            Ok((entries, head))
        })
    }

    pub(super) fn read_audit(&self, read: &ReadAudit) -> Result<AuditPage, StorageError> {
        self.snapshot(|txn| {
            let tree = self.tables.tree(txn, &read.account)?;
            let size = read.size.unwrap_or(tree.size);
            if size > tree.size {
                return Err(StorageError::Refused(Refusal::Malformed));
            }
            let nodes = StoredNodes {
                txn,
                tables: &self.tables,
                account: &read.account,
            };
            let mut page = nodes.page(size, read.verified_size)?;
            let end = read.from.saturating_add(u64::from(read.limit)).min(size);
            let mut bytes = 0;
            for index in read.from..end {
                let encoded = self.record(txn, &read.account, index)?;
                bytes += encoded.len() + if read.proofs { PROOF_BUDGET } else { 0 };
                if bytes > ANSWER_BUDGET {
                    break;
                }
                page.records.push(ByteBuf::from(encoded));
                if read.proofs {
                    page.inclusion
                        .push(merkle::inclusion_proof(&nodes, index, size)?);
                }
            }
            Ok(page)
        })
    }

    pub(super) fn read_slots(&self, account: &AccountId) -> Result<Vec<SlotInfo>, StorageError> {
        self.snapshot(|txn| {
            let account = self.account(txn, account)?;
            let slots = account.slots.iter();
            Ok(slots
                .map(|stored| SlotInfo::new(stored.slot, &stored.wrapped))
                .collect())
        })
    }

    /// The account; one that was deleted has no sessions.
    pub(super) fn account(
        &self,
        txn: &RoTxn<WithoutTls>,
        account: &AccountId,
    ) -> Result<Account, StorageError> {
        let account = self.tables.account(txn, &self.keys, account)?;
        account.ok_or(StorageError::Refused(Refusal::NoSession))
    }

    fn log(&self, txn: &RoTxn<WithoutTls>, account: &AccountId) -> Result<LogId, StorageError> {
        self.account(txn, account).map(|account| account.log)
    }

    fn record(
        &self,
        txn: &RoTxn<WithoutTls>,
        account: &AccountId,
        index: u64,
    ) -> Result<Vec<u8>, StorageError> {
        let table = &self.tables.records;
        let key = tables::record(account, index);
        let sealed = table.get(txn, &key)?.ok_or_else(|| table.damaged())?;
        let record: Record = self.keys.open(table.name, &key, sealed)?;
        record.encode().map_err(|_| table.damaged())
    }
}

/// The complete nodes of one account's audit tree.
pub struct StoredNodes<'a, 'txn> {
    /// Any transaction.
    pub txn: &'a RoTxn<'txn, WithoutTls>,
    /// The tables.
    pub tables: &'a Tables,
    /// Whose tree.
    pub account: &'a AccountId,
}

impl StoredNodes<'_, '_> {
    /// The tree of this size, and its consistency with the one that the client has verified; no records yet.
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

impl Nodes for StoredNodes<'_, '_> {
    type Error = StorageError;

    fn node(&self, level: u8, index: u64) -> Result<Digest, StorageError> {
        let table = &self.tables.nodes;
        let key = tables::node(self.account, level, index);
        table
            .get(self.txn, &key)?
            .and_then(Digest::from_slice)
            .ok_or_else(|| table.damaged())
    }
}

impl Tables {
    /// Head of a vault log; that of the empty log if there is none.
    pub fn head(&self, txn: &RoTxn, log: &LogId) -> Result<Head, StorageError> {
        let head = self.heads.decode(txn, &log.own(&[]))?;
        Ok(head.unwrap_or(Head::EMPTY))
    }

    /// State of an account's audit tree.
    pub fn tree(&self, txn: &RoTxn, account: &AccountId) -> Result<Tree, StorageError> {
        let tree = self.trees.decode(txn, &tables::own(account, &[]))?;
        Ok(tree.unwrap_or_default())
    }
}
