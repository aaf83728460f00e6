//! Another account key: the vault log told again under it, beside the old one until it takes its place.

use heed::RoTxn;
use serde::{Deserialize, Serialize};
use shared::ids::{AccountId, PublicKey};
use shared::opaque::Slot;
use shared::vault_log::{Head, MAX_EPOCH, Op, Rekey};
use shared::wire::error::Refusal;
use shared::wire::register::SlotRecord;
use shared::wire::rekey::{NewLog, Prepared};

use crate::storage::api::{Account, Draft, Prepare, StorageError};
use crate::storage::append::Plan;
use crate::storage::at_rest::AtRest;
use crate::storage::credentials::{BAD_ENTRY, place, split};
use crate::storage::engine::{Verified, Written};
use crate::storage::lmdb::{Lmdb, Unit};
use crate::storage::tables::{self, LogId, Tables};

/// A log that was begun under a new account key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Stage {
    /// Where it is.
    pub log: LogId,
    /// How it was begun.
    pub new: NewLog,
}

/// What a log that is told again gets.
#[derive(Debug, Clone)]
pub struct Told {
    /// The key that its entries were verified with: meanwhile the log may have been begun anew under another one.
    pub key: PublicKey,
    /// All or none of these.
    pub entries: Vec<Verified>,
    /// Audit records.
    pub records: Vec<Draft>,
}

impl Tables {
    /// The log that was begun for an account.
    pub fn stage(
        &self,
        txn: &RoTxn,
        keys: &AtRest,
        account: &AccountId,
    ) -> Result<Option<Stage>, StorageError> {
        let key = tables::own(account, &[]);
        let sealed = self.stages.get(txn, &key)?;
        sealed
            .map(|sealed| keys.open(self.stages.name, &key, sealed))
            .transpose()
    }
}

impl Lmdb {
    pub(super) fn read_prepared(
        &self,
        account: &AccountId,
    ) -> Result<Option<Prepared>, StorageError> {
        self.snapshot(|txn| {
            let Some(stage) = self.tables.stage(txn, &self.keys, account)? else {
                return Ok(None);
            };
            Ok(Some(Prepared {
                head: self.tables.head(txn, &stage.log)?,
                log: stage.new,
            }))
        })
    }
}

impl Unit<'_, '_> {
    pub(super) fn prepare(&mut self, message: &Prepare) -> Result<Written, StorageError> {
        let id = &message.account;
        let account = self.asking(id, &message.records)?;
        let is_next = message.log.wrapped.epoch == account.epoch.saturating_add(1);
        if !is_next || message.log.wrapped.epoch > MAX_EPOCH {
            return self.refuse(id, BAD_ENTRY, &message.records);
        }
        if !self.space.has_room {
            let full = StorageError::Refused(Refusal::DiskFull);
            return self.refuse(id, full, &message.records);
        }
        self.drop_stage(id)?;
        let stage = Stage {
            log: LogId::random(),
            new: message.log.clone(),
        };
        let table = &self.tables.stages;
        let key = tables::own(id, &[]);
        let sealed = self.keys.seal(table.name, &key, &stage)?;
        table.put(self.txn, &key, &sealed)?;
        self.record_all(id, &message.records)?;
        Ok(Written::Done)
    }

    /// What the entries say is the owner's affair: they are the log's only once the last of them is there.
    pub(super) fn rewrite(&mut self, id: &AccountId, told: &Told) -> Result<Written, StorageError> {
        self.asking(id, &told.records)?;
        let planned = self.begun(id, &told.key);
        let planned = planned.and_then(|stage| {
            let epoch = stage.new.wrapped.epoch;
            Ok((self.plan(&stage.log, epoch, &told.entries)?, stage))
        });
        let (plan, stage) = match planned {
            Ok(planned) => planned,
            Err(error) => return self.refuse(id, error, &told.records),
        };
        self.carry_out(&stage.log, &told.entries, &plan)?;
        self.record_all(id, &told.records)?;
        Ok(Written::Head(plan.head()))
    }

    /// Puts the new log and the new credentials in place; nothing of what the old account key opens is left.
    pub(super) fn rekey(
        &mut self,
        id: &AccountId,
        slots: &[SlotRecord],
        told: &Told,
    ) -> Result<Written, StorageError> {
        let mut account = self.asking(id, &told.records)?;
        let old = account.log;
        let plan = match self.plan_rekey(&mut account, slots, told) {
            Ok(plan) => plan,
            Err(error) => return self.refuse(id, error, &told.records),
        };
        self.carry_out(&account.log, &told.entries, &plan)?;
        self.delete_log(&old)?;
        self.tables.stages.delete(self.txn, &tables::own(id, &[]))?;
        self.put_account(&account)?;
        self.record_all(id, &told.records)?;
        Ok(Written::Head(plan.head()))
    }

    fn plan_rekey(
        &self,
        account: &mut Account,
        slots: &[SlotRecord],
        told: &Told,
    ) -> Result<Plan, StorageError> {
        let stage = self.begun(&account.id, &told.key)?;
        let Some((first, rest)) = told.entries.split_first() else {
            return Err(BAD_ENTRY);
        };
        let Op::Rekey(rekey) = &first.entry.op else {
            return Err(BAD_ENTRY);
        };
        let head = self.tables.head(self.txn, &account.log)?;
        check_former(rekey, head, first)?;
        if rekey.epoch != stage.new.wrapped.epoch {
            return Err(BAD_ENTRY);
        }
        account.epoch = rekey.epoch;
        account.log = stage.log;
        account.log_key = stage.new.log_key;
        replace_slots(account, slots, rest)?;
        self.plan(&account.log, account.epoch, &told.entries)
    }

    fn begun(&self, account: &AccountId, key: &PublicKey) -> Result<Stage, StorageError> {
        let stage = self.tables.stage(self.txn, self.keys, account)?;
        stage
            .filter(|stage| stage.new.log_key == *key)
            .ok_or(BAD_ENTRY)
    }

    /// Drops a log that was begun, if there is one.
    pub(super) fn drop_stage(&mut self, account: &AccountId) -> Result<(), StorageError> {
        let Some(stage) = self.tables.stage(self.txn, self.keys, account)? else {
            return Ok(());
        };
        self.delete_log(&stage.log)?;
        let key = tables::own(account, &[]);
        self.tables.stages.delete(self.txn, &key).map(drop)
    }

    /// Deletes a log with all that belongs to it.
    pub(super) fn delete_log(&mut self, log: &LogId) -> Result<(), StorageError> {
        for table in self.tables.of_logs() {
            for (key, _) in table.with_prefix(self.txn, log.as_bytes())? {
                table.delete(self.txn, &key)?;
            }
        }
        Ok(())
    }
}

/// The new log must tell all that the old one says: each entry is told again at its position.
fn check_former(rekey: &Rekey, head: Head, first: &Verified) -> Result<(), StorageError> {
    if rekey.former != head {
        return Err(StorageError::Refused(Refusal::Conflict(head)));
    }
    if first.entry.seq != head.seq.next() {
        return Err(BAD_ENTRY);
    }
    Ok(())
}

/// All credentials of before wrap the old account key: each is replaced, or goes.
fn replace_slots(
    account: &mut Account,
    slots: &[SlotRecord],
    said: &[Verified],
) -> Result<(), StorageError> {
    let (made, _) = split(slots, said)?;
    let is_kept = |slot: &Slot| slots.iter().any(|new| new.slot == *slot);
    if !is_kept(&Slot::Password) {
        return Err(BAD_ENTRY);
    }
    place(account, slots, made)?;
    account.slots.retain(|stored| is_kept(&stored.slot));
    Ok(())
}
