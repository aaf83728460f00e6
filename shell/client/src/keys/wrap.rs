//! Wrapping of the account key under a slot's export key, with a key commitment that is checked first.
//!
//! AES-GCM-SIV does not commit to its key; without the commitment a server could test many passwords with one blob
//! (a partitioning oracle: Len, Grubbs, Ristenpart, USENIX Security 2021).

use serde_bytes::ByteBuf;
use shared::aead::{self, OpenError};
use shared::ids::AccountId;
use shared::kdf::{derive, length_prefixed};
use shared::opaque::{SUITE, Slot};
use shared::secret::Key;
use shared::wire::register::WrappedKey;
use subtle::ConstantTimeEq as _;

const COMMITMENT_LEN: usize = 32;

/// The context of one wrapped key, bound into the key derivation and the associated data.
#[derive(Debug, Clone, Copy)]
pub struct WrapContext<'a> {
    /// The account.
    pub account: &'a AccountId,
    /// The slot whose export key wraps the account key.
    pub slot: &'a Slot,
    /// The generation of the slot's credential.
    pub generation: u64,
    /// The key epoch of the account key.
    pub epoch: u32,
}

/// Opens a wrapped account key, which names its generation and epoch.
///
/// # Errors
/// [`OpenError`] for any cause.
pub(crate) fn unwrap(
    account: AccountId,
    slot: Slot,
    export_key: &[u8],
    wrapped: &WrappedKey,
) -> Result<Key, OpenError> {
    let context = WrapContext {
        account: &account,
        slot: &slot,
        generation: wrapped.generation,
        epoch: wrapped.epoch,
    };
    context.unwrap(export_key, &wrapped.blob)
}

impl WrapContext<'_> {
    fn key_and_commitment(&self, export_key: &[u8]) -> (Key, [u8; COMMITMENT_LEN]) {
        let fields: [&[u8]; 4] = [
            self.account.as_bytes(),
            &self.slot.label(),
            &self.generation.to_be_bytes(),
            &self.epoch.to_be_bytes(),
        ];
        let okm = derive::<64>(export_key, "keyshell/1 wrap", &fields);
        let mut key = zeroize::Zeroizing::new([0; Key::LEN]);
        let mut commitment = [0; COMMITMENT_LEN];
        let (first, second) = okm.split_at(Key::LEN);
        key.copy_from_slice(first);
        commitment.copy_from_slice(second);
        (Key::new(*key), commitment)
    }

    fn aad(&self) -> Vec<u8> {
        length_prefixed(&[
            b"keyshell/1 wrapped account key",
            &[SUITE],
            self.account.as_bytes(),
            &self.slot.label(),
            &self.generation.to_be_bytes(),
            &self.epoch.to_be_bytes(),
        ])
    }

    /// Wraps the account key under an export key (64 bytes, RFC 9807).
    pub fn wrap(&self, export_key: &[u8], account_key: &Key) -> WrappedKey {
        let (key, commitment) = self.key_and_commitment(export_key);
        let mut blob = commitment.to_vec();
        blob.extend(aead::seal_random(&key, &self.aad(), account_key.expose()));
        WrappedKey {
            generation: self.generation,
            epoch: self.epoch,
            blob: ByteBuf::from(blob),
        }
    }

    /// Opens a wrapped account key.
    ///
    /// # Errors
    /// [`OpenError`] for any cause.
    pub fn unwrap(&self, export_key: &[u8], blob: &[u8]) -> Result<Key, OpenError> {
        let (key, expected) = self.key_and_commitment(export_key);
        let (commitment, sealed) = blob
            .split_first_chunk::<COMMITMENT_LEN>()
            .ok_or(OpenError)?;
        if !bool::from(commitment.ct_eq(&expected)) {
            return Err(OpenError);
        }
        let opened = aead::open_random(&key, &self.aad(), sealed)?;
        Key::from_slice(opened.expose()).ok_or(OpenError)
    }
}
