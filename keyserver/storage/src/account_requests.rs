//! Requests of sessions that concern the whole account: credentials, deletion, audit records.

use shared::audit_record::AuditedOperation;
use shared::opaque::Slot;
use shared::vault_log::Head;

use crate::api::{AuditPage, Delete, Install, WriteRecords};
use crate::context::WriteContext;
use crate::error::StorageError;
use crate::slots;
use crate::tables::Table;
use crate::verified::VerifiedEntry;

impl WriteContext<'_> {
    /// Sets credentials, with the entries that name them.
    pub fn install(&mut self, new: &Install<VerifiedEntry>) -> Result<Head, StorageError> {
        let (id, slots) = (&new.account, &new.slots);
        let (entries, records) = (&new.entries, &new.records);
        let mut account = self.authorise(id, records)?;
        let installed = slots::install(&mut account, slots, entries);
        let checked = installed.and_then(|()| self.check_new(&account, entries, records));
        let planned = checked.and_then(|()| self.plan(&account.log, account.epoch, entries));
        let plan = match planned {
            Ok(plan) => plan,
            Err(error) => return self.refuse(id, error, records),
        };
        self.apply(&account.log, entries, &plan)?;
        self.put_account(&account)?;
        if slots.iter().any(|new| new.slot == Slot::Password) {
            // The new account key of a re-encryption is wrapped for the former password only.
            self.drop_stage(id)?;
        }
        self.record_all(id, records)?;
        Ok(plan.head)
    }

    /// Deletes an account with all of its data; returns the last page of its audit log.
    pub fn delete_account(&mut self, message: &Delete) -> Result<AuditPage, StorageError> {
        let id = &message.account;
        let account = self.authorise(id, &message.records)?;
        let name = self.rules.at_rest.name(&account.name);
        self.record_aggregates_of(&name)?;
        self.record_all(id, &message.records)?;
        let size = self.view().tree(id)?.size;
        let page = self.view().nodes(id).page(size, message.verified_size)?;
        self.drop_stage(id)?;
        for table in Table::OF_ACCOUNTS {
            self.delete_prefix(table, id.as_bytes())?;
        }
        self.delete_log(&account.log)?;
        self.delete(Table::Names, name.as_bytes())?;
        Ok(page)
    }

    /// Writes audit records. An `audit` is recorded after all events that were counted before it, so that its owner sees
    /// them.
    pub fn write_records(&mut self, message: &WriteRecords) -> Result<(), StorageError> {
        let account = self.authorise(&message.account, &message.records)?;
        let mut records = message.records.iter();
        if records.any(|draft| draft.operation == AuditedOperation::Audit) {
            self.record_aggregates_of(&self.rules.at_rest.name(&account.name))?;
        }
        self.record_all(&message.account, &message.records)
    }
}
