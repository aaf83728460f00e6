//! Reads, each of one snapshot.

use serde_bytes::ByteBuf;
use shared::audit_record::Record;
use shared::ids::AccountId;
use shared::merkle;
use shared::vault_log::{Head, Op, SignedEntry};
use shared::wire::call::LoggedEntry;
use shared::wire::error::Refusal;
use shared::wire::limits::{ANSWER_BUDGET, MAX_PAGE};
use shared::wire::slots::SlotInfo;

use crate::api::{AuditPage, ReadAudit, ReadEntries, ReadValues};
use crate::error::StorageError;
use crate::tables::{self, Table};
use crate::view::{View, decode};

/// Bytes that an inclusion proof adds to a record: one hash per level of a tree of 2^40 records.
const PROOF_BUDGET: usize = 40 * 34;

impl View<'_> {
    /// Reads sealed values.
    pub fn values(self, read: &ReadValues) -> Result<Vec<Option<ByteBuf>>, StorageError> {
        let mut values = Vec::new();
        let mut size = 0;
        for item in &read.items {
            let key = tables::version(&read.account, &item.secret, item.version);
            let value = self.get(Table::Values, &key)?;
            size += value.as_ref().map_or(1, |value| value.len());
            if size > ANSWER_BUDGET && !values.is_empty() {
                break;
            }
            values.push(value.map(|value| ByteBuf::from(value.into_owned())));
        }
        Ok(values)
    }

    /// Reads entries of a log with their metadata, and the head of the log.
    pub fn entries(self, read: &ReadEntries) -> Result<(Vec<LoggedEntry>, Head), StorageError> {
        let account = &read.account;
        let head = self.head(account)?;
        let mut entries = Vec::new();
        let mut size = 0;
        let mut seq = read.after.next();
        while seq <= head.seq && entries.len() < MAX_PAGE && size <= ANSWER_BUDGET {
            let row = self.get(Table::Vault, &tables::entry(account, seq))?;
            let row = row.ok_or_else(|| Table::Vault.damaged())?;
            let entry = decode(Table::Vault, &row)?;
            let metadata = self.metadata(account, &entry)?;
            let logged = LoggedEntry { entry, metadata };
            size += logged.size();
            entries.push(logged);
            seq = seq.next();
        }
        Ok((entries, head))
    }

    /// The sealed metadata or note that an entry names, as long as it is stored.
    fn metadata(
        self,
        account: &AccountId,
        signed: &SignedEntry,
    ) -> Result<Option<ByteBuf>, StorageError> {
        let entry = signed.decode_unverified();
        let entry = entry.map_err(|_| Table::Vault.damaged())?;
        let (table, key) = match &entry.op {
            Op::Put(new) | Op::Reseal(new) => (
                Table::Metadata,
                tables::metadata(account, &new.secret, new.version, entry.seq),
            ),
            Op::Describe(new) => (
                Table::Metadata,
                tables::metadata(account, &new.secret, new.version, entry.seq),
            ),
            Op::Note(_) => (Table::Notes, tables::entry(account, entry.seq)),
            _ => return Ok(None),
        };
        let stored = self.get(table, &key)?;
        Ok(stored.map(|sealed| ByteBuf::from(sealed.into_owned())))
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

    /// Lists credentials, as they are at this time.
    pub fn slots(self, account: &AccountId, now_ms: u64) -> Result<Vec<SlotInfo>, StorageError> {
        let account = self.account(account)?;
        let slots = account.slots.iter().map(|stored| {
            let credential = &stored.credential;
            SlotInfo {
                is_over: stored.is_over(now_ms),
                ..SlotInfo::new(credential.slot, &credential.wrapped)
            }
        });
        Ok(slots.collect())
    }
}
