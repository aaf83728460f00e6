//! Credentials of accounts that exist, and the end of an account.

use shared::audit_record::Outcome;
use shared::ids::{AccountId, Digest};
use shared::opaque::Slot;
use shared::vault_log::{Credential, Op};
use shared::wire::error::Refusal;
use shared::wire::limits::MAX_SLOTS;
use shared::wire::register::SlotRecord;

use crate::storage::api::{Account, Delete, Draft, StorageError};
use crate::storage::engine::{Verified, Written};
use crate::storage::lmdb::Unit;
use crate::storage::reads::StoredNodes;
use crate::storage::tables;

pub(super) const BAD_ENTRY: StorageError = StorageError::Refused(Refusal::BadEntry);

impl Unit<'_, '_> {
    /// Puts credentials in place, with the entries that say so.
    pub(super) fn install(
        &mut self,
        id: &AccountId,
        slots: &[SlotRecord],
        entries: &[Verified],
        records: &[Draft],
    ) -> Result<Written, StorageError> {
        let mut account = self.asking(id, records)?;
        let placed = install(&mut account, slots, entries);
        let made = placed.and_then(|()| self.check_made(&account, entries, records));
        let planned = made.and_then(|()| self.plan(&account.log, account.epoch, entries));
        let plan = match planned {
            Ok(plan) => plan,
            Err(error) => return self.refuse(id, error, records),
        };
        self.carry_out(&account.log, entries, &plan)?;
        self.put_account(&account)?;
        if slots.iter().any(|new| new.slot == Slot::Password) {
            // Only the old password opens the key of what was begun.
            self.drop_stage(id)?;
        }
        self.record_all(id, records)?;
        Ok(Written::Head(plan.head()))
    }

    /// The account in whose session something is asked for. Sessions of one that was deleted, or whose key or credential
    /// was replaced, may have asked before they ended.
    pub(super) fn asking(
        &self,
        id: &AccountId,
        records: &[Draft],
    ) -> Result<Account, StorageError> {
        let ended = StorageError::Refused(Refusal::NoSession);
        let account = self.tables.account(self.txn, self.keys, id)?;
        let account = account.ok_or_else(|| ended.clone())?;
        let is_older = |draft: &Draft| draft.epoch.is_some_and(|epoch| epoch != account.epoch);
        let holds = |(slot, generation)| {
            let mut held = account.slots.iter();
            held.any(|held| held.slot == slot && held.wrapped.generation == generation)
        };
        let is_gone = |draft: &Draft| draft.by.is_some_and(|by| !holds(by));
        if records
            .iter()
            .any(|draft| is_older(draft) || is_gone(draft))
        {
            return Err(ended);
        }
        self.check_bill(id, records)?;
        Ok(account)
    }

    /// Deletes everything that an account has. What was counted of its name and is not written down yet is first.
    pub(super) fn delete(&mut self, message: &Delete) -> Result<Written, StorageError> {
        let id = &message.account;
        let account = self.asking(id, &message.records)?;
        let name = self.keys.name(&account.name);
        self.write_down_name(&name)?;
        self.record_all(id, &message.records)?;
        let size = self.tables.tree(self.txn, id)?.size;
        let nodes = StoredNodes {
            txn: self.txn,
            tables: self.tables,
            account: id,
        };
        let page = nodes.page(size, message.verified_size)?;
        self.drop_stage(id)?;
        for table in self.tables.of_accounts() {
            for (key, _) in table.with_prefix(self.txn, id.as_bytes())? {
                table.delete(self.txn, &key)?;
            }
        }
        self.delete_log(&account.log)?;
        self.tables.names.delete(self.txn, name.as_bytes())?;
        Ok(Written::Deleted(Box::new(page)))
    }

    /// Writes down that something was refused.
    pub(super) fn refuse(
        &mut self,
        id: &AccountId,
        error: StorageError,
        records: &[Draft],
    ) -> Result<Written, StorageError> {
        if let StorageError::Refused(refusal) = &error {
            let outcome = match refusal {
                Refusal::Conflict(_) => Outcome::Conflict,
                _ => Outcome::Refused,
            };
            let refused = records.iter().map(|draft| Draft {
                outcome,
                ..draft.clone()
            });
            self.record_all(id, &refused.collect::<Vec<_>>())?;
        }
        Err(error)
    }

    /// Writes an account's row.
    pub(super) fn put_account(&mut self, account: &Account) -> Result<(), StorageError> {
        let key = tables::own(&account.id, &[]);
        let sealed = self.seal_account(account, &key)?;
        self.tables.accounts.put(self.txn, &key, &sealed)
    }
}

/// Takes the slots away that appended entries revoke; says whether there are such entries. Making a credential takes a
/// proof, and replacing the account key another log, which an append has not.
pub(super) fn revoke(account: &mut Account, entries: &[Verified]) -> Result<bool, StorageError> {
    let mut has_revoked = false;
    for new in entries {
        match &new.entry.op {
            Op::Credential(credential) if is_revoked(credential) => {
                account
                    .slots
                    .retain(|stored| stored.slot != credential.slot);
                has_revoked = true;
            }
            Op::Credential(_) | Op::Rekey(_) => return Err(BAD_ENTRY),
            _ => {}
        }
    }
    Ok(has_revoked)
}

/// There is always a password.
fn is_revoked(credential: &Credential) -> bool {
    credential.wrapped.is_none() && credential.slot != Slot::Password
}

/// New credentials, and the end of those that entries revoke besides.
fn install(
    account: &mut Account,
    slots: &[SlotRecord],
    entries: &[Verified],
) -> Result<(), StorageError> {
    if entries.is_empty() {
        return place_again(account, slots);
    }
    let (made, gone) = split(slots, entries)?;
    place(account, slots, made)?;
    revoke(account, gone).map(drop)
}

/// First one entry a new credential, in the same order; then revocations of others.
pub(super) fn split<'a>(
    slots: &[SlotRecord],
    entries: &'a [Verified],
) -> Result<(&'a [Verified], &'a [Verified]), StorageError> {
    let (made, gone) = entries.split_at_checked(slots.len()).ok_or(BAD_ENTRY)?;
    let is_kept = |slot: &Slot| slots.iter().any(|new| new.slot == *slot);
    let goes = |new: &Verified| match &new.entry.op {
        Op::Credential(credential) => is_revoked(credential) && !is_kept(&credential.slot),
        _ => false,
    };
    gone.iter()
        .all(goes)
        .then_some((made, gone))
        .ok_or(BAD_ENTRY)
}

/// Puts new credentials into the account. Whether each is the next one of its slot, the log tells.
pub(super) fn place(
    account: &mut Account,
    slots: &[SlotRecord],
    entries: &[Verified],
) -> Result<(), StorageError> {
    for (new, entry) in slots.iter().zip(entries) {
        let Op::Credential(credential) = &entry.entry.op else {
            return Err(BAD_ENTRY);
        };
        if !is_said(credential, new) || new.wrapped.epoch != account.epoch {
            return Err(BAD_ENTRY);
        }
        let is_full = account.slots.len() >= MAX_SLOTS;
        match stored(account, &new.slot) {
            Some(old) => *old = new.clone(),
            None if is_full => return Err(StorageError::Refused(Refusal::TooLarge)),
            None => account.slots.push(new.clone()),
        }
    }
    Ok(())
}

/// A device's secret lives as long as the program that holds it, so that the same credential is made often.
fn place_again(account: &mut Account, slots: &[SlotRecord]) -> Result<(), StorageError> {
    let [new] = slots else { return Err(BAD_ENTRY) };
    let is_devices = matches!(new.slot, Slot::Device(_)) && new.wrapped.epoch == account.epoch;
    match stored(account, &new.slot) {
        Some(old) if is_devices && old.wrapped.generation == new.wrapped.generation => {
            *old = new.clone();
            Ok(())
        }
        _ => Err(BAD_ENTRY),
    }
}

fn stored<'a>(account: &'a mut Account, slot: &Slot) -> Option<&'a mut SlotRecord> {
    account.slots.iter_mut().find(|stored| stored.slot == *slot)
}

fn is_said(credential: &Credential, new: &SlotRecord) -> bool {
    credential.slot == new.slot
        && credential.generation == new.wrapped.generation
        && credential.wrapped == Some(Digest::of(&new.wrapped.blob))
}
