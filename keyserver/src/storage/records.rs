//! Audit records and the tree over them.

use serde::{Deserialize, Serialize};
use shared::audit_record::{MANY_ADDRESSES, Operation, RECORD_FORMAT, Record};
use shared::ids::AccountId;
use shared::merkle;
use shared::wire::error::Refusal;

use crate::storage::api::{Draft, StorageError, WriteRecords};
use crate::storage::engine::Written;
use crate::storage::lmdb::Unit;
use crate::storage::reads::StoredNodes;
use crate::storage::tables;

/// How far an account's audit log goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Tree {
    /// Number of records.
    pub size: u64,
    /// Time of the newest, in milliseconds since 1970-01-01 UTC.
    pub newest_ms: u64,
    /// Records of the account's own sessions. What strangers cause is not on its bill.
    pub billed: u64,
}

/// Below the reserve's half an account may have made one of so many of its records: who made more has used that half
/// up, and the rest is for the others.
const LAST_SHARE: u64 = 64;
/// Past its records by one of so many an account can still be looked at, looked after and emptied.
const EXTRA_SHARE: u64 = 8;
/// And by one of so many for sessions that the owner opened in person: a stolen device must not use up what they need to
/// shut it out.
const PERSONS_SHARE: u64 = 4;

impl Unit<'_, '_> {
    pub(super) fn write_records(
        &mut self,
        message: &WriteRecords,
    ) -> Result<Written, StorageError> {
        let account = self.asking(&message.account, &message.records)?;
        // Whoever reads the audit log sees everything that was counted before.
        if message
            .records
            .iter()
            .any(|draft| draft.operation == Operation::Audit)
        {
            self.write_down_name(&self.keys.name(&account.name))?;
        }
        self.record_all(&message.account, &message.records)?;
        Ok(Written::Done)
    }

    /// Refuses requests of an account that has made all the records it may; there is no record of that.
    pub(super) fn check_bill(
        &self,
        account: &AccountId,
        records: &[Draft],
    ) -> Result<(), StorageError> {
        let is_logout = |draft: &Draft| draft.operation == Operation::Logout;
        if records.iter().all(is_logout) {
            return Ok(());
        }
        let quota = self.config.record_quota;
        let uses_values = |operation| {
            matches!(
                operation,
                Operation::Get | Operation::Put | Operation::Describe
            )
        };
        let extra = if records.iter().any(|draft| uses_values(draft.operation)) {
            0
        } else {
            quota / EXTRA_SHARE
        };
        let persons = if records.iter().all(|draft| draft.is_person) {
            quota / PERSONS_SHARE
        } else {
            0
        };
        let billed = self.tables.tree(self.txn, account)?.billed;
        let bill = billed.saturating_add(records.len() as u64);
        let refused = if bill > quota.saturating_add(extra).saturating_add(persons) {
            Refusal::Quota
        } else if !self.space.has_half && bill > quota / LAST_SHARE {
            Refusal::DiskFull
        } else {
            return Ok(());
        };
        Err(StorageError::Refused(refused))
    }

    /// Appends records.
    pub(super) fn record_all(
        &mut self,
        account: &AccountId,
        drafts: &[Draft],
    ) -> Result<(), StorageError> {
        drafts
            .iter()
            .try_for_each(|draft| self.record(account, draft, 1))
    }

    /// Appends one record, which stands for `count` equal events.
    pub(super) fn record(
        &mut self,
        account: &AccountId,
        draft: &Draft,
        count: u64,
    ) -> Result<(), StorageError> {
        let tree = self.tables.tree(self.txn, account)?;
        let record = Record {
            format: RECORD_FORMAT,
            index: tree.size,
            // A clock that was set back must not make the log look rearranged.
            time_ms: self.now_ms.max(tree.newest_ms),
            operation: draft.operation,
            secret: draft.secret,
            outcome: draft.outcome,
            session: draft.session,
            counter: draft.counter,
            position: draft.position,
            device: draft.device,
            remote: draft.remote.map_or_else(
                || MANY_ADDRESSES.to_owned(),
                |remote| remote.to_canonical().to_string(),
            ),
            tag: draft.tag,
            count,
        };
        let table = &self.tables.records;
        let encoded = record.encode().map_err(|_| table.damaged())?;
        let key = tables::record(account, tree.size);
        let sealed = self.keys.seal(table.name, &key, &record)?;
        table.put(self.txn, &key, &sealed)?;
        let nodes = StoredNodes {
            txn: self.txn,
            tables: self.tables,
            account,
        };
        for node in merkle::append(&nodes, tree.size, Record::leaf_hash(&encoded))? {
            let key = tables::node(account, node.level, node.index);
            self.tables
                .nodes
                .put(self.txn, &key, node.hash.as_bytes())?;
        }
        let grown = Tree {
            size: tree.size + 1,
            newest_ms: record.time_ms,
            billed: tree.billed + u64::from(record.session.is_some()),
        };
        self.tables
            .trees
            .encode(self.txn, &tables::own(account, &[]), &grown)
    }
}
