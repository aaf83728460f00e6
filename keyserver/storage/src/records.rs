//! Appends audit records to an account's log and its tree.

use shared::audit_record::{MANY_ADDRESSES, RECORD_FORMAT, Record};
use shared::ids::AccountId;
use shared::merkle;

use crate::api::Draft;
use crate::audit_tree::Tree;
use crate::context::WriteContext;
use crate::error::StorageError;
use crate::tables::{self, Table};

impl WriteContext<'_> {
    /// Appends one record per draft.
    pub fn record_all(
        &mut self,
        account: &AccountId,
        drafts: &[Draft],
    ) -> Result<(), StorageError> {
        drafts
            .iter()
            .try_for_each(|draft| self.record(account, draft, 1))
    }

    /// Appends one record, which stands for `count` equal events.
    pub fn record(
        &mut self,
        account: &AccountId,
        draft: &Draft,
        count: u64,
    ) -> Result<(), StorageError> {
        let tree = self.view().tree(account)?;
        let record = Record {
            format: RECORD_FORMAT,
            index: tree.size,
            // Times in the log never decrease, even when the clock was set back.
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
            signature: draft.signature,
            entry: draft.entry,
            opening: draft.opening.clone(),
            count,
        };
        let encoded = record.encode().map_err(|_| Table::Records.damaged())?;
        self.seal(Table::Records, &tables::record(account, tree.size), &record)?;
        let leaf = Record::leaf_hash(&encoded);
        for node in merkle::append(&self.view().nodes(account), tree.size, leaf)? {
            let key = tables::node(account, node.level, node.index);
            self.put(Table::Nodes, &key, node.hash.as_bytes())?;
        }
        let tree = tree.refilled(self.rules.config.record_quota, self.now_ms);
        let grown = Tree {
            size: tree.size + 1,
            newest_ms: record.time_ms,
            billed: tree.billed + u64::from(record.session.is_some()),
            ..tree
        };
        self.encode(Table::Trees, &tables::own(account, &[]), &grown)
    }
}
