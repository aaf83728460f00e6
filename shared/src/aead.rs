//! AES-256-GCM-SIV (RFC 8452), with an explicit nonce or a random one in front.

use aes_gcm_siv::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm_siv::{Aes256GcmSiv, Nonce};
use rand::RngCore as _;
use rand::rngs::OsRng;

use crate::secret::{Key, SecretBytes};

/// Length of a nonce in bytes.
pub const NONCE_LEN: usize = 12;
/// What a ciphertext is longer than its plaintext, in bytes.
pub const TAG_LEN: usize = 16;

/// The one error of every failed opening: it says nothing about the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("does not open: wrong key, or not what was sealed")]
pub struct OpenError;

/// Seals `plaintext` under an explicit nonce that the caller never uses again with this key.
pub fn seal(key: &Key, nonce: &[u8; NONCE_LEN], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let payload = Payload {
        msg: plaintext,
        aad,
    };
    // Fails only for plaintexts of 64 GiB and more, which no caller can hold.
    Aes256GcmSiv::new(key.expose().into())
        .encrypt(Nonce::from_slice(nonce), payload)
        .unwrap_or_default()
}

/// Opens what [`seal`] made.
///
/// # Errors
/// [`OpenError`] whatever the reason.
pub fn open(
    key: &Key,
    nonce: &[u8; NONCE_LEN],
    aad: &[u8],
    sealed: &[u8],
) -> Result<SecretBytes, OpenError> {
    Aes256GcmSiv::new(key.expose().into())
        .decrypt(Nonce::from_slice(nonce), Payload { msg: sealed, aad })
        .map(SecretBytes::new)
        .map_err(|_| OpenError)
}

/// Seals under a random nonce: `nonce (12) || ciphertext || tag (16)`.
pub fn seal_random(key: &Key, aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let mut nonce = [0; NONCE_LEN];
    OsRng.fill_bytes(&mut nonce);
    let mut sealed = nonce.to_vec();
    sealed.extend(seal(key, &nonce, aad, plaintext));
    sealed
}

/// Opens what [`seal_random`] made.
///
/// # Errors
/// [`OpenError`] whatever the reason.
pub fn open_random(key: &Key, aad: &[u8], sealed: &[u8]) -> Result<SecretBytes, OpenError> {
    let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(OpenError)?;
    open(key, nonce, aad, ciphertext)
}
