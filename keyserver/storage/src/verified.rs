//! Entries whose signatures and values were verified, which happens beside the writer.

use serde_bytes::ByteBuf;
use shared::ids::{AccountId, Digest, PublicKey};
use shared::vault_log::{Entry, Op, SignedEntry};
use shared::wire::call::NewEntry;
use shared::wire::error::Refusal;
use shared::wire::limits::MAX_SEALED_VALUE_LEN;

/// An entry whose signature and value were verified. Whether it continues the log is decided in the transaction.
#[derive(Debug, Clone)]
pub struct VerifiedEntry {
    /// The entry as it is stored.
    pub signed: SignedEntry,
    /// The entry, decoded.
    pub entry: Entry,
    /// The sealed value; present exactly where the entry is a `put`.
    pub value: Option<ByteBuf>,
}

impl VerifiedEntry {
    /// Verifies one entry of an account by the key of its log.
    ///
    /// # Errors
    /// [`Refusal::BadEntry`] for a wrong signature, hash or combination; [`Refusal::TooLarge`] for a value over
    /// [`MAX_SEALED_VALUE_LEN`].
    pub fn new(new: NewEntry, account: &AccountId, key: &PublicKey) -> Result<Self, Refusal> {
        let entry = new
            .entry
            .verify(account, key)
            .map_err(|_| Refusal::BadEntry)?;
        match (&entry.op, &new.value) {
            (Op::Put(put), Some(value)) => {
                if value.len() > MAX_SEALED_VALUE_LEN {
                    return Err(Refusal::TooLarge);
                }
                if Digest::of(value) != put.value_hash {
                    return Err(Refusal::BadEntry);
                }
            }
            (Op::Put(_), None) | (_, Some(_)) => return Err(Refusal::BadEntry),
            (_, None) => {}
        }
        Ok(Self {
            signed: new.entry,
            entry,
            value: new.value,
        })
    }

    /// Bytes of its value.
    pub(crate) fn value_len(&self) -> usize {
        self.value.as_ref().map_or(0, |value| value.len())
    }
}
