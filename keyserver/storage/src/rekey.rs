//! Replaces an account key: the vault log is re-encrypted and re-signed under the new key, in a log beside the old one
//! until it replaces that.

use shared::ids::{AccountId, PublicKey};
use shared::vault_log::{Head, MAX_EPOCH, Op, Rekey};
use shared::wire::error::Refusal;

use crate::accounts::Stage;
use crate::api::{Account, Append, Install, Prepare};
use crate::append::Plan;
use crate::context::WriteContext;
use crate::error::{BAD_ENTRY, DISK_FULL, StorageError};
use crate::slots;
use crate::tables::{self, LogId, Table};
use crate::verified::VerifiedEntry;

impl WriteContext<'_> {
    /// Begins a re-encryption.
    pub fn prepare(&mut self, message: &Prepare) -> Result<(), StorageError> {
        let id = &message.account;
        let account = self.authorise(id, &message.records)?;
        let is_next = message.log.wrapped.epoch == account.epoch.saturating_add(1);
        if !is_next || message.log.wrapped.epoch > MAX_EPOCH {
            return self.refuse(id, BAD_ENTRY, &message.records);
        }
        if !self.space.has_reserve {
            return self.refuse(id, DISK_FULL, &message.records);
        }
        self.drop_stage(id)?;
        let stage = Stage {
            log: LogId::random(),
            new: message.log.clone(),
        };
        self.seal(Table::Stages, &tables::own(id, &[]), &stage)?;
        self.record_all(id, &message.records)
    }

    /// Appends to the re-encrypted log. Only the rules of the log are checked: the entries become part of the
    /// account with [`Self::rekey`].
    pub fn rewrite(
        &mut self,
        key: &PublicKey,
        new: &Append<VerifiedEntry>,
    ) -> Result<Head, StorageError> {
        let id = &new.account;
        self.authorise(id, &new.records)?;
        let planned = self.current_stage(id, key).and_then(|stage| {
            let epoch = stage.new.wrapped.epoch;
            Ok((self.plan(&stage.log, epoch, &new.entries)?, stage))
        });
        let (plan, stage) = match planned {
            Ok(planned) => planned,
            Err(error) => return self.refuse(id, error, &new.records),
        };
        self.apply(&stage.log, &new.entries, &plan)?;
        self.record_all(id, &new.records)?;
        Ok(plan.head)
    }

    /// Replaces the log by the re-encrypted one, and all credentials; deletes everything that the former account key
    /// decrypts.
    pub fn rekey(
        &mut self,
        key: &PublicKey,
        new: &Install<VerifiedEntry>,
    ) -> Result<Head, StorageError> {
        let id = &new.account;
        let mut account = self.authorise(id, &new.records)?;
        let former = account.log;
        let plan = match self.plan_rekey(&mut account, key, new) {
            Ok(plan) => plan,
            Err(error) => return self.refuse(id, error, &new.records),
        };
        self.apply(&account.log, &new.entries, &plan)?;
        self.delete_log(&former)?;
        self.delete(Table::Stages, &tables::own(id, &[]))?;
        self.put_account(&account)?;
        self.record_all(id, &new.records)?;
        Ok(plan.head)
    }

    fn plan_rekey(
        &self,
        account: &mut Account,
        key: &PublicKey,
        new: &Install<VerifiedEntry>,
    ) -> Result<Plan, StorageError> {
        let stage = self.current_stage(&account.id, key)?;
        let Some((first, rest)) = new.entries.split_first() else {
            return Err(BAD_ENTRY);
        };
        let Op::Rekey(rekey) = &first.entry.op else {
            return Err(BAD_ENTRY);
        };
        check_former(rekey, self.view().head(&account.log)?, first)?;
        if rekey.epoch != stage.new.wrapped.epoch {
            return Err(BAD_ENTRY);
        }
        account.epoch = rekey.epoch;
        account.log = stage.log;
        account.log_key = stage.new.log_key;
        slots::replace(account, &new.slots, rest)?;
        self.plan(&account.log, account.epoch, &new.entries)
    }

    /// The re-encrypted log with this key.
    fn current_stage(&self, account: &AccountId, key: &PublicKey) -> Result<Stage, StorageError> {
        let stage = self.view().stage(account)?;
        stage
            .filter(|stage| stage.new.log_key == *key)
            .ok_or(BAD_ENTRY)
    }

    /// Deletes the re-encrypted log of an account, if one was begun.
    pub fn drop_stage(&mut self, account: &AccountId) -> Result<(), StorageError> {
        let Some(stage) = self.view().stage(account)? else {
            return Ok(());
        };
        self.delete_log(&stage.log)?;
        self.delete(Table::Stages, &tables::own(account, &[]))
    }

    /// Deletes a log with all of its data.
    pub fn delete_log(&mut self, log: &LogId) -> Result<(), StorageError> {
        Table::OF_LOGS
            .into_iter()
            .try_for_each(|table| self.delete_prefix(table, log.as_bytes()))
    }
}

/// The new log must re-encrypt all of the former log: each of its entries stands at the same sequence number.
fn check_former(rekey: &Rekey, head: Head, first: &VerifiedEntry) -> Result<(), StorageError> {
    if rekey.former != head {
        return Err(StorageError::Refused(Refusal::Conflict(head)));
    }
    if first.entry.seq != head.seq.next() {
        return Err(BAD_ENTRY);
    }
    Ok(())
}
