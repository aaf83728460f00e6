//! Reads, each of one snapshot.

use std::collections::BTreeMap;

use serde_bytes::ByteBuf;
use shared::audit_record::Record;
use shared::ids::AccountId;
use shared::merkle;
use shared::vault_log::{Entry, Op, SignedEntry};
use shared::wire::call::LoggedEntry;
use shared::wire::error::Refusal;
use shared::wire::limits::{ANSWER_BUDGET, MAX_PAGE, MAX_SEEN};
use shared::wire::slots::SlotInfo;

use crate::api::{AuditPage, EntryPage, ReadAudit, ReadEntries, ReadValues};
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
    pub fn entries(self, read: &ReadEntries) -> Result<EntryPage, StorageError> {
        let account = &read.account;
        let head = self.head(account)?;
        let mut entries = Vec::new();
        let mut seen = BTreeMap::new();
        let mut size = 0;
        let mut seq = read.after.next();
        while seq <= head.seq && entries.len() < MAX_PAGE && size <= ANSWER_BUDGET {
            let row = self.get(Table::Vault, &tables::entry(account, seq))?;
            let row = row.ok_or_else(|| Table::Vault.damaged())?;
            let signed: SignedEntry = decode(Table::Vault, &row)?;
            let entry = signed.decode_unverified();
            let entry = entry.map_err(|_| Table::Vault.damaged())?;
            if let Some(head) = entry.seen {
                if seen.len() == MAX_SEEN && !seen.contains_key(&entry.device) {
                    break;
                }
                let newest = seen.entry(entry.device).or_default();
                *newest = head.size.max(*newest);
            }
            let logged = LoggedEntry {
                metadata: self.metadata(account, &entry)?,
                entry: signed,
            };
            size += logged.size();
            entries.push(logged);
            seq = seq.next();
        }
        Ok(EntryPage {
            entries,
            head,
            seen: seen.into_values().collect(),
        })
    }

    /// The sealed metadata or note that an entry names, as long as it is stored.
    fn metadata(self, account: &AccountId, entry: &Entry) -> Result<Option<ByteBuf>, StorageError> {
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
        let earlier = read.seen.iter().filter(|earlier| **earlier < size);
        page.seen = earlier
            .map(|earlier| merkle::consistency_proof(&nodes, *earlier, size))
            .collect::<Result<_, _>>()?;
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
