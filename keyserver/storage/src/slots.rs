//! Rules for an account's credentials: which of them entries set, replace or revoke. Whether each is the next generation
//! of its slot is checked against the log.

use shared::ids::Digest;
use shared::opaque::Slot;
use shared::vault_log::{Credential, Op};
use shared::wire::error::Refusal;
use shared::wire::limits::MAX_SLOTS;
use shared::wire::register::SlotRecord;

use crate::api::Account;
use crate::error::{BAD_ENTRY, StorageError};
use crate::verified::VerifiedEntry;

/// Removes the slots that appended entries revoke; returns whether there are such entries. Setting a credential takes a
/// proof, and replacing the account key a re-encrypted log, which an append has not.
pub fn revoke(account: &mut Account, entries: &[VerifiedEntry]) -> Result<bool, StorageError> {
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

/// The password is never revoked, only replaced.
fn is_revoked(credential: &Credential) -> bool {
    credential.wrapped.is_none() && credential.slot != Slot::Password
}

/// Sets credentials, and removes those that further entries revoke.
pub fn install(
    account: &mut Account,
    slots: &[SlotRecord],
    entries: &[VerifiedEntry],
) -> Result<(), StorageError> {
    if entries.is_empty() {
        return renew(account, slots);
    }
    let (set, revoked) = split(slots, entries)?;
    place(account, slots, set)?;
    revoke(account, revoked).map(drop)
}

/// Replaces all credentials: each of them wraps the former account key.
pub fn replace(
    account: &mut Account,
    slots: &[SlotRecord],
    entries: &[VerifiedEntry],
) -> Result<(), StorageError> {
    let (set, _) = split(slots, entries)?;
    let is_kept = |slot: &Slot| slots.iter().any(|new| new.slot == *slot);
    if !is_kept(&Slot::Password) {
        return Err(BAD_ENTRY);
    }
    place(account, slots, set)?;
    account.slots.retain(|stored| is_kept(&stored.slot));
    Ok(())
}

/// Splits entries into those that set the credentials, one per credential in the same order, and those that revoke
/// others.
fn split<'a>(
    slots: &[SlotRecord],
    entries: &'a [VerifiedEntry],
) -> Result<(&'a [VerifiedEntry], &'a [VerifiedEntry]), StorageError> {
    let (set, revoked) = entries.split_at_checked(slots.len()).ok_or(BAD_ENTRY)?;
    let is_kept = |slot: &Slot| slots.iter().any(|new| new.slot == *slot);
    let revokes_other = |new: &VerifiedEntry| match &new.entry.op {
        Op::Credential(credential) => is_revoked(credential) && !is_kept(&credential.slot),
        _ => false,
    };
    revoked
        .iter()
        .all(revokes_other)
        .then_some((set, revoked))
        .ok_or(BAD_ENTRY)
}

/// Sets credentials as their entries name them.
fn place(
    account: &mut Account,
    slots: &[SlotRecord],
    entries: &[VerifiedEntry],
) -> Result<(), StorageError> {
    for (new, entry) in slots.iter().zip(entries) {
        let Op::Credential(credential) = &entry.entry.op else {
            return Err(BAD_ENTRY);
        };
        if !is_named(credential, new) || new.wrapped.epoch != account.epoch {
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

/// Renews the credential of a device without an entry: its secret lives as long as the program that holds it, so that
/// the same credential is registered often.
fn renew(account: &mut Account, slots: &[SlotRecord]) -> Result<(), StorageError> {
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

fn is_named(credential: &Credential, new: &SlotRecord) -> bool {
    credential.slot == new.slot
        && credential.generation == new.wrapped.generation
        && credential.wrapped == Some(Digest::of(&new.wrapped.blob))
}
