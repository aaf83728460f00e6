//! Requests of sessions that concern the whole account: credentials, deletion, audit records.

use shared::audit_record::AuditedOperation;
use shared::vault_log::Head;

use crate::api::{Account, AuditPage, Delete, Retire, WriteRecords};
use crate::append::Plan;
use crate::context::WriteContext;
use crate::error::{BAD_ENTRY, StorageError};
use crate::slots::{self, Installer};
use crate::tables::{self, Table};
use crate::write::VerifiedInstall;

impl WriteContext<'_> {
    /// Sets and revokes credentials with the entries that name them, and begins a key epoch where they do.
    pub fn install(&mut self, install: &VerifiedInstall) -> Result<Head, StorageError> {
        let VerifiedInstall {
            account: id,
            slots,
            new,
            epoch,
            records,
        } = install;
        let mut account = self.authorise(id, records)?;
        let plan = match self.plan_install(&mut account, install) {
            Ok(plan) => plan,
            Err(error) => return self.refuse(id, error, records),
        };
        self.apply(id, &new.entries, &plan)?;
        self.put_account(&account)?;
        if let Some(epoch) = epoch {
            self.delete_prefix(Table::SlotKeys, id.as_bytes())?;
            for key in &epoch.slot_keys {
                self.encode(Table::SlotKeys, &tables::slot(id, &key.slot), key)?;
            }
            let own = tables::own(id, &[]);
            self.put(Table::KeyHistories, &own, &epoch.history)?;
        } else if !new.entries.is_empty() {
            // A new credential wraps the newest account key itself.
            for set in slots {
                self.delete(Table::SlotKeys, &tables::slot(id, &set.slot))?;
            }
        }
        self.record_all(id, records)?;
        Ok(plan.head)
    }

    fn plan_install(
        &self,
        account: &mut Account,
        install: &VerifiedInstall,
    ) -> Result<Plan, StorageError> {
        let VerifiedInstall {
            slots,
            new,
            epoch,
            records,
            ..
        } = install;
        let plan = self.plan(account, new, records)?;
        let by = Installer {
            is_person: records.iter().all(|record| record.is_person),
            now_ms: self.now_ms,
            longest_seconds: self.rules.config.device_lease_seconds,
        };
        if new.entries.is_empty() {
            if epoch.is_some() {
                return Err(BAD_ENTRY);
            }
            self.check_renewed(account, install)?;
            slots::renew(account, slots, by)?;
        } else {
            account.signer = new.signer;
            slots::install(account, slots, &new.entries, epoch.as_ref(), by)?;
        }
        Ok(plan)
    }

    /// A credential that got no account key when an epoch began, since its lease was over, needs a new generation.
    fn check_renewed(
        &self,
        account: &Account,
        install: &VerifiedInstall,
    ) -> Result<(), StorageError> {
        for new in &install.slots {
            let wraps_newest = new.wrapped.epoch == account.signer.epoch;
            if !wraps_newest && self.view().slot_key(&account.id, &new.slot)?.is_none() {
                return Err(BAD_ENTRY);
            }
        }
        Ok(())
    }

    /// Ends the lease of a credential.
    pub fn retire(&mut self, message: &Retire) -> Result<(), StorageError> {
        let id = &message.account;
        let mut account = self.authorise(id, &message.records)?;
        let mut slots = account.slots.iter_mut();
        let retired = slots.find(|stored| stored.credential.slot == message.slot);
        if let Some(ends_ms) = retired.and_then(|stored| stored.ends_ms.as_mut()) {
            *ends_ms = 0;
            self.put_account(&account)?;
        }
        self.record_all(id, &message.records)
    }

    /// Deletes an account with all of its data, after a last look at its audit log.
    pub fn delete_account(&mut self, message: &Delete) -> Result<AuditPage, StorageError> {
        let id = &message.account;
        let account = self.authorise(id, &message.records)?;
        let name = self.rules.at_rest.name(&account.name);
        self.record_aggregates_of(&name)?;
        self.record_all(id, &message.records)?;
        let size = self.view().tree(id)?.size;
        let page = self.view().nodes(id).page(size, message.verified_size)?;
        for table in Table::ALL {
            if table.is_of_accounts() {
                self.delete_prefix(table, id.as_bytes())?;
            }
        }
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
