//! Entries that were verified beside the writer: signatures, authorisations, content.

use std::collections::BTreeMap;

use serde_bytes::ByteBuf;
use shared::ids::{AccountId, Digest, PublicKey};
use shared::opaque::Slot;
use shared::vault_log::{Entry, Head, MAX_METADATA_LEN, Op, SignedEntry, Signer};
use shared::wire::call::NewEntry;
use shared::wire::error::Refusal;
use shared::wire::limits::MAX_SEALED_VALUE_LEN;

use crate::api::Account;

/// An entry whose signature and content were verified. Whether it continues the log is decided in the transaction.
#[derive(Debug, Clone)]
pub struct VerifiedEntry {
    /// The entry as it is stored.
    pub signed: SignedEntry,
    /// The entry, decoded.
    pub entry: Entry,
    /// The sealed value; present exactly where the entry names one.
    pub value: Option<ByteBuf>,
    /// The sealed metadata or note; present exactly where the entry names one.
    pub metadata: Option<ByteBuf>,
}

/// Entries of one account, verified by the keys of one snapshot.
#[derive(Debug, Clone)]
pub struct VerifiedEntries {
    /// Head of the log in that snapshot. The keys are still the right ones in a transaction that finds the same head:
    /// only entries change them.
    pub head: Head,
    /// The signer of the entry after these.
    pub signer: Signer,
    /// The entries, appended all or none.
    pub entries: Vec<VerifiedEntry>,
}

impl VerifiedEntries {
    /// Verifies entries of an account by its signer, and their authorisations by the signing keys of its credentials and
    /// of those that earlier ones of these entries make. `head` is that of the snapshot that the account was read from.
    ///
    /// # Errors
    /// Those of [`VerifiedEntry::new`]; [`Refusal::BadEntry`] also without a valid authorisation and for another epoch;
    /// [`Refusal::Conflict`] instead where the entries do not continue the log.
    pub fn new(new: Vec<NewEntry>, account: &Account, head: Head) -> Result<Self, Refusal> {
        let first = new.first().map(|new| new.entry.clone());
        verify(new, account, head).map_err(|refusal| {
            let continues = first.is_none_or(|first| {
                first
                    .decode_unverified()
                    .is_ok_and(|entry| first.verify_next(&entry, &head).is_ok())
            });
            match refusal {
                Refusal::BadEntry if !continues => Refusal::Conflict(head),
                other => other,
            }
        })
    }
}

fn verify(new: Vec<NewEntry>, account: &Account, head: Head) -> Result<VerifiedEntries, Refusal> {
    let slots = account.slots.iter();
    let mut keys: BTreeMap<Slot, PublicKey> = slots
        .map(|stored| (stored.credential.slot, stored.signing))
        .collect();
    let mut signer = account.signer;
    let mut entries = Vec::new();
    for new in new {
        let verified = VerifiedEntry::new(new, &account.id, &signer.log_key)?;
        let entry = &verified.entry;
        entry
            .verify_authorisation(|slot| keys.get(slot).copied())
            .map_err(|_| Refusal::BadEntry)?;
        signer = signer.after(&entry.op).map_err(|_| Refusal::BadEntry)?;
        if let Op::Credential(credential) = &entry.op {
            match &credential.keys {
                Some(named) => keys.insert(credential.slot, named.signing),
                None => keys.remove(&credential.slot),
            };
        }
        entries.push(verified);
    }
    if !signer.is_whole() {
        return Err(Refusal::BadEntry);
    }
    Ok(VerifiedEntries {
        head,
        signer,
        entries,
    })
}

impl VerifiedEntry {
    /// Verifies one entry of an account by the key that signs it.
    ///
    /// # Errors
    /// [`Refusal::BadEntry`] for a wrong signature, and for content that is not exactly what the entry names;
    /// [`Refusal::TooLarge`] for a value over [`MAX_SEALED_VALUE_LEN`] or metadata over [`MAX_METADATA_LEN`].
    fn new(new: NewEntry, account: &AccountId, key: &PublicKey) -> Result<Self, Refusal> {
        let entry = new
            .entry
            .verify(account, key)
            .map_err(|_| Refusal::BadEntry)?;
        check_content(entry.op.value(), new.value.as_ref(), MAX_SEALED_VALUE_LEN)?;
        check_content(entry.op.metadata(), new.metadata.as_ref(), MAX_METADATA_LEN)?;
        Ok(Self {
            signed: new.entry,
            entry,
            value: new.value,
            metadata: new.metadata,
        })
    }

    /// Bytes of its content.
    pub(crate) fn content_len(&self) -> u64 {
        let lens =
            [&self.value, &self.metadata].map(|part| part.as_ref().map_or(0, |part| part.len()));
        lens.iter().sum::<usize>() as u64
    }
}

fn check_content(
    named: Option<Digest>,
    carried: Option<&ByteBuf>,
    longest: usize,
) -> Result<(), Refusal> {
    match (named, carried) {
        (None, None) => Ok(()),
        (Some(_), Some(content)) if content.len() > longest => Err(Refusal::TooLarge),
        (Some(hash), Some(content)) if Digest::of(content) == hash => Ok(()),
        _ => Err(Refusal::BadEntry),
    }
}
