//! Reads, each of one snapshot.

use serde_bytes::ByteBuf;
use shared::audit_record::Record;
use shared::ids::{AccountId, PublicKey};
use shared::merkle;
use shared::vault_log::{Head, SignedEntry};
use shared::wire::error::Refusal;
use shared::wire::limits::{ANSWER_BUDGET, MAX_PAGE};
use shared::wire::rekey::Prepared;
use shared::wire::slots::SlotInfo;

use crate::api::{AuditPage, ReadAudit, ReadEntries, ReadValues, Which};
use crate::error::StorageError;
use crate::tables::{self, Table};
use crate::view::{View, decode};

/// Bytes that an inclusion proof adds to a record: one hash per level of a tree of 2^40 records.
const PROOF_BUDGET: usize = 40 * 34;

impl View<'_> {
    /// Reads sealed values.
    pub fn values(self, read: &ReadValues) -> Result<Vec<Option<ByteBuf>>, StorageError> {
        let log = self.account(&read.account)?.log;
        let mut values = Vec::new();
        let mut size = 0;
        for item in &read.items {
            let key = tables::value(&log, &item.secret, item.version);
            let value = self.get(Table::Values, &key)?;
            size += value.as_ref().map_or(1, |value| value.len());
            if size > ANSWER_BUDGET && !values.is_empty() {
                break;
            }
            values.push(value.map(|value| ByteBuf::from(value.into_owned())));
        }
        Ok(values)
    }

    /// Reads entries of a log, and its head.
    pub fn entries(self, read: &ReadEntries) -> Result<(Vec<SignedEntry>, Head), StorageError> {
        let log = match read.of {
            Which::Current => Some(self.account(&read.account)?.log),
            Which::Prepared => self.stage(&read.account)?.map(|stage| stage.log),
        };
        let Some(log) = log else {
            return Ok((Vec::new(), Head::EMPTY));
        };
        let head = self.head(&log)?;
        let mut entries = Vec::new();
        let mut size = 0;
        let mut seq = read.after.next();
        while seq <= head.seq && entries.len() < MAX_PAGE && size <= ANSWER_BUDGET {
            let row = self.get(Table::Vault, &tables::entry(&log, seq))?;
            let row = row.ok_or_else(|| Table::Vault.damaged())?;
            size += row.len();
            entries.push(decode(Table::Vault, &row)?);
            seq = seq.next();
        }
        Ok((entries, head))
    }

    /// Reads audit records and proofs.
    pub fn audit(self, read: &ReadAudit) -> Result<AuditPage, StorageError> {
        let tree = self.tree(&read.account)?;
        let size = read.size.unwrap_or(tree.size);
        if size > tree.size {
            return Err(StorageError::Refused(Refusal::Malformed));
        }
        let nodes = self.nodes(&read.account);
        let mut page = nodes.page(size, read.verified_size)?;
        let end = read.from.saturating_add(u64::from(read.limit)).min(size);
        let mut bytes = 0;
        for index in read.from..end {
            let encoded = self.record(&read.account, index)?;
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
    }

    /// An audit record, encoded as it was hashed.
    fn record(self, account: &AccountId, index: u64) -> Result<Vec<u8>, StorageError> {
        let record: Option<Record> = self.open(Table::Records, &tables::record(account, index))?;
        let record = record.ok_or_else(|| Table::Records.damaged())?;
        record.encode().map_err(|_| Table::Records.damaged())
    }

    /// Lists credentials.
    pub fn slots(self, account: &AccountId) -> Result<Vec<SlotInfo>, StorageError> {
        let account = self.account(account)?;
        let slots = account.slots.iter();
        Ok(slots
            .map(|stored| SlotInfo::new(stored.slot, &stored.wrapped))
            .collect())
    }

    /// The key that signs one of an account's logs; `None` where there is no such log.
    pub fn log_key(
        self,
        account: &AccountId,
        of: Which,
    ) -> Result<Option<PublicKey>, StorageError> {
        match of {
            Which::Current => Ok(Some(self.account(account)?.log_key)),
            Which::Prepared => Ok(self.stage(account)?.map(|stage| stage.new.log_key)),
        }
    }

    /// The state of the re-encrypted log.
    pub fn prepared(self, account: &AccountId) -> Result<Option<Prepared>, StorageError> {
        let Some(stage) = self.stage(account)? else {
            return Ok(None);
        };
        Ok(Some(Prepared {
            head: self.head(&stage.log)?,
            log: stage.new,
        }))
    }
}
