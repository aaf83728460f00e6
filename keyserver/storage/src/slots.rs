//! Rules for an account's credentials: which of them entries set, replace or revoke, their leases, and the account keys
//! that they get in a new epoch. Whether each is the next generation of its slot is checked against the log.

use shared::ids::{Digest, PublicKey};
use shared::opaque::Slot;
use shared::vault_log::{Credential, CredentialKeys, Op, Rekey};
use shared::wire::error::Refusal;
use shared::wire::limits::MAX_SLOTS;
use shared::wire::register::{Lease, SlotRecord};
use shared::wire::slots::{NewEpoch, SLOT_KEY_LEN, SlotKey};

use crate::api::{Account, StoredSlot};
use crate::error::{BAD_ENTRY, StorageError};
use crate::verified::VerifiedEntry;

/// Bytes of a key history around the former account keys: nonce and tag.
const HISTORY_OVERHEAD: usize = 12 + 16;
/// Bytes of an account key.
const ACCOUNT_KEY_LEN: usize = 32;
/// The part of a lease (1/10) after which use renews it: a write per request would be too much.
const RENEWED_PER_LEASE: u64 = 10;

impl StoredSlot {
    /// A credential whose lease has not begun.
    pub fn new(credential: SlotRecord, signing: PublicKey) -> Self {
        Self {
            credential,
            signing,
            ends_ms: None,
        }
    }

    /// Slot and generation, which its `credential` entry names.
    pub fn named(&self) -> (Slot, u64) {
        (self.credential.slot, self.credential.wrapped.generation)
    }

    /// Whether its lease is over: then it opens no session, and its sessions have ended.
    pub fn is_over(&self, now_ms: u64) -> bool {
        self.ends_ms.is_some_and(|ends_ms| ends_ms <= now_ms)
    }

    /// Begins its lease, of at most `longest_seconds`.
    pub fn begin_lease(&mut self, now_ms: u64, longest_seconds: u32) {
        if let Some(lease) = &mut self.credential.lease {
            lease.seconds = lease.seconds.min(longest_seconds);
            self.ends_ms = Some(now_ms + length_ms(*lease));
        }
    }

    /// Goes on with the lease of the credential that this one replaces: neither longer, nor renewed by use where that
    /// one was not.
    fn inherit_lease(&mut self, former: &Self, now_ms: u64) {
        let (Some(lease), Some(old)) = (&mut self.credential.lease, former.credential.lease) else {
            return;
        };
        lease.seconds = lease.seconds.min(old.seconds);
        lease.renewed &= old.renewed;
        let ends_ms = now_ms + length_ms(*lease);
        self.ends_ms = match former.ends_ms {
            Some(former_ms) if !old.renewed => Some(former_ms.min(ends_ms)),
            _ => Some(ends_ms),
        };
    }

    /// Renews its lease by use; returns whether there is something to write.
    pub(crate) fn renew_lease(&mut self, now_ms: u64) -> bool {
        let (Some(lease), Some(ends_ms)) = (self.credential.lease, self.ends_ms) else {
            return false;
        };
        let length_ms = length_ms(lease);
        let renewed_ms = now_ms + length_ms;
        // A lease that ends later than it can means that the clock was set back.
        let is_due = renewed_ms.abs_diff(ends_ms) >= length_ms / RENEWED_PER_LEASE;
        if lease.renewed && is_due {
            self.ends_ms = Some(renewed_ms);
        }
        lease.renewed && is_due
    }
}

fn length_ms(lease: Lease) -> u64 {
    u64::from(lease.seconds) * 1000
}

/// The rights of the session that installs credentials, and the time.
#[derive(Debug, Clone, Copy)]
pub struct Installer {
    /// Whether the session was opened with password or recovery code, so that it may set leases.
    pub is_person: bool,
    /// The clock, in milliseconds since 1970-01-01 UTC.
    pub now_ms: u64,
    /// Longest lease.
    pub longest_seconds: u32,
}

/// The entries of an `install` by what they do.
struct Parts<'a> {
    rekey: Option<&'a Rekey>,
    /// One per credential that is set.
    set: &'a [VerifiedEntry],
    revoked: &'a [VerifiedEntry],
}

/// Splits entries: `acknowledge` and `rekey`, where there are such, then one per credential, then revocations.
fn split(slots: usize, entries: &[VerifiedEntry]) -> Option<Parts<'_>> {
    let rest = match entries.split_first() {
        Some((first, rest)) if matches!(first.entry.op, Op::Acknowledge(_)) => rest,
        _ => entries,
    };
    let (rekey, rest) = match rest
        .split_first()
        .map(|(first, rest)| (&first.entry.op, rest))
    {
        Some((Op::Rekey(rekey), rest)) => (Some(rekey), rest),
        _ => (None, rest),
    };
    // Readers of the log know the end of the installation by this number.
    let is_counted = |rekey: &Rekey| usize::from(rekey.credentials) == rest.len();
    if !rekey.is_none_or(is_counted) {
        return None;
    }
    let (set, revoked) = rest.split_at_checked(slots)?;
    Some(Parts {
        rekey,
        set,
        revoked,
    })
}

/// Sets credentials as their entries name them, removes those that further entries revoke, and checks the account keys
/// of a new epoch. The signer of the account is that after the entries.
pub fn install(
    account: &mut Account,
    slots: &[SlotRecord],
    entries: &[VerifiedEntry],
    epoch: Option<&NewEpoch>,
    by: Installer,
) -> Result<(), StorageError> {
    let parts = split(slots.len(), entries).ok_or(BAD_ENTRY)?;
    // Without an epoch of their own, neither a new password nor a revocation would shut out the former credential.
    let is_devices = |slot: &SlotRecord| matches!(slot.slot, Slot::Device(_));
    let needs_epoch = !parts.revoked.is_empty() || !slots.iter().all(is_devices);
    if parts.rekey.is_some() != epoch.is_some() || (needs_epoch && epoch.is_none()) {
        return Err(BAD_ENTRY);
    }
    for (new, entry) in slots.iter().zip(parts.set) {
        set(account, new, entry, by)?;
    }
    for entry in parts.revoked {
        let slot = revoked(entry).ok_or(BAD_ENTRY)?;
        if slots.iter().any(|new| new.slot == slot) {
            return Err(BAD_ENTRY);
        }
        account
            .slots
            .retain(|stored| stored.credential.slot != slot);
    }
    if account.slots.len() > MAX_SLOTS {
        return Err(StorageError::Refused(Refusal::TooLarge));
    }
    match epoch {
        Some(epoch) => check_epoch(account, slots, epoch, by.now_ms),
        None => Ok(()),
    }
}

fn set(
    account: &mut Account,
    new: &SlotRecord,
    entry: &VerifiedEntry,
    by: Installer,
) -> Result<(), StorageError> {
    let Op::Credential(credential) = &entry.entry.op else {
        return Err(BAD_ENTRY);
    };
    let keys = named_keys(credential, new).ok_or(BAD_ENTRY)?;
    if new.wrapped.epoch != account.signer.epoch {
        return Err(BAD_ENTRY);
    }
    place(account, StoredSlot::new(new.clone(), keys.signing), by);
    Ok(())
}

/// Puts a credential in its slot. A device does not extend its own lease: only a person sets one.
fn place(account: &mut Account, mut new: StoredSlot, by: Installer) {
    let mut slots = account.slots.iter_mut();
    let former = slots.find(|stored| stored.credential.slot == new.credential.slot);
    match &former {
        Some(former) if !by.is_person => new.inherit_lease(former, by.now_ms),
        _ => new.begin_lease(by.now_ms, by.longest_seconds),
    }
    match former {
        Some(former) => *former = new,
        None => account.slots.push(new),
    }
}

fn revoked(entry: &VerifiedEntry) -> Option<Slot> {
    match &entry.entry.op {
        Op::Credential(Credential {
            slot, keys: None, ..
        }) => Some(*slot),
        _ => None,
    }
}

/// The keys of a credential in its entry, if the entry is of this credential.
pub fn named_keys<'a>(entry: &'a Credential, new: &SlotRecord) -> Option<&'a CredentialKeys> {
    let is_of = entry.slot == new.slot && entry.generation == new.wrapped.generation;
    let keys = entry.keys.as_ref().filter(|_| is_of)?;
    (keys.wrapped == Digest::of(&new.wrapped.blob)).then_some(keys)
}

/// The new account key must reach exactly the credentials that stay: those that are set in the same call wrap it
/// themselves, and a device whose lease is over needs the password.
fn check_epoch(
    account: &Account,
    set: &[SlotRecord],
    epoch: &NewEpoch,
    now_ms: u64,
) -> Result<(), StorageError> {
    let number = account.signer.epoch;
    let stays = |stored: &&StoredSlot| {
        let is_set = set.iter().any(|new| new.slot == stored.credential.slot);
        !is_set && !stored.is_over(now_ms)
    };
    let has_key = |stored: &StoredSlot| {
        let (slot, generation) = stored.named();
        let keys = epoch.slot_keys.iter();
        keys.filter(|key| (key.slot, key.generation) == (slot, generation))
            .count()
            == 1
    };
    let stay: Vec<_> = account.slots.iter().filter(stays).collect();
    let formers = usize::try_from(number.saturating_sub(1)).unwrap_or(usize::MAX);
    let history_len = HISTORY_OVERHEAD + ACCOUNT_KEY_LEN.saturating_mul(formers);
    let is_exact = stay.len() == epoch.slot_keys.len() && stay.into_iter().all(has_key);
    let is_new = |key: &SlotKey| key.epoch == number && key.blob.len() == SLOT_KEY_LEN;
    if is_exact && epoch.slot_keys.iter().all(is_new) && epoch.history.len() == history_len {
        return Ok(());
    }
    Err(BAD_ENTRY)
}

/// Renews the credential of a device without an entry: its secret lives as long as the program that holds it, so that
/// the same credential is registered often. It wraps the same account key as before, so that its slot key stays valid.
pub fn renew(
    account: &mut Account,
    slots: &[SlotRecord],
    by: Installer,
) -> Result<(), StorageError> {
    let [new] = slots else { return Err(BAD_ENTRY) };
    let mut stored = account.slots.iter();
    let stored = stored.find(|stored| stored.credential.slot == new.slot);
    let is_same = |stored: &&StoredSlot| {
        let (old, new) = (&stored.credential.wrapped, &new.wrapped);
        (old.generation, old.epoch) == (new.generation, new.epoch)
    };
    let is_devices = matches!(new.slot, Slot::Device(_));
    let signing = stored.filter(is_same).map(|stored| stored.signing);
    let signing = signing.filter(|_| is_devices).ok_or(BAD_ENTRY)?;
    place(account, StoredSlot::new(new.clone(), signing), by);
    Ok(())
}
