//! Signed entries: the chain of hashes, and the signatures of the log-signing key.

use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::codec;
use crate::ids::{AccountId, Digest, PublicKey, Signature};
use crate::kdf::length_prefixed;
use crate::vault_log::base::{ENTRY_FORMAT, Head, LogError, MAX_ENTRY_LEN};
use crate::vault_log::entry::Entry;

const SIGNATURE_LABEL: &[u8] = b"keyshell/2 vault entry signature";
const HASH_LABEL: &[u8] = b"keyshell/2 vault entry hash";

/// An entry on the wire and in storage: the exact bytes that were signed, and the signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedEntry {
    entry: ByteBuf,
    signature: Signature,
}

impl Head {
    /// The head after appending `entry`, without the checks of [`SignedEntry::verify_next`].
    #[must_use]
    pub fn with(&self, entry: &SignedEntry) -> Self {
        Self {
            seq: self.seq.next(),
            hash: entry.hash(),
        }
    }
}

impl SignedEntry {
    /// Encodes and signs an entry.
    ///
    /// # Errors
    /// [`LogError::Malformed`] if the entry cannot be encoded, or is longer than [`MAX_ENTRY_LEN`].
    pub fn sign(entry: &Entry, key: &SigningKey) -> Result<Self, LogError> {
        let bytes = codec::encode(entry)?;
        if bytes.len() > MAX_ENTRY_LEN {
            return Err(LogError::Malformed);
        }
        let signature = key.sign(&signed_message(&entry.account, &bytes));
        Ok(Self {
            entry: ByteBuf::from(bytes),
            signature: Signature::new(signature.to_bytes()),
        })
    }

    /// Verifies the signature (Ed25519, strict), account and format, and returns the entry.
    ///
    /// # Errors
    /// [`LogError::Malformed`]; [`LogError::BadSignature`], also for another account or format.
    pub fn verify(&self, account: &AccountId, key: &PublicKey) -> Result<Entry, LogError> {
        let verifier =
            VerifyingKey::from_bytes(key.as_bytes()).map_err(|_| LogError::BadSignature)?;
        let signature = ed25519_dalek::Signature::from_bytes(self.signature.as_bytes());
        verifier
            .verify_strict(&signed_message(account, &self.entry), &signature)
            .map_err(|_| LogError::BadSignature)?;
        let entry = self.decode_unverified()?;
        if entry.account != *account || entry.format != ENTRY_FORMAT {
            return Err(LogError::BadSignature);
        }
        Ok(entry)
    }

    /// Decodes the entry without verifying its signature: for the genesis entry, which carries its own key.
    ///
    /// # Errors
    /// [`LogError::Malformed`], also for more than [`MAX_ENTRY_LEN`] bytes.
    pub fn decode_unverified(&self) -> Result<Entry, LogError> {
        Ok(codec::decode(&self.entry, MAX_ENTRY_LEN)?)
    }

    /// Length of entry and signature, in bytes.
    pub fn size(&self) -> usize {
        self.entry.len() + Signature::LEN
    }

    /// Hash of the entry, which the next entry names as `previous`: SHA-256 over label, entry and signature.
    pub fn hash(&self) -> Digest {
        Digest::of(&length_prefixed(&[
            HASH_LABEL,
            &self.entry,
            self.signature.as_bytes(),
        ]))
    }

    /// Checks that this entry, which [`Self::verify`] decoded as `entry`, continues the log at `head`; returns the
    /// new head.
    ///
    /// # Errors
    /// [`LogError::NotNext`].
    pub fn verify_next(&self, entry: &Entry, head: &Head) -> Result<Head, LogError> {
        let expected = head.seq.next();
        if entry.seq != expected || entry.previous != head.hash {
            return Err(LogError::NotNext {
                expected,
                got: entry.seq,
            });
        }
        Ok(head.with(self))
    }
}

fn signed_message(account: &AccountId, entry: &[u8]) -> Vec<u8> {
    length_prefixed(&[SIGNATURE_LABEL, account.as_bytes(), entry])
}
