//! AES-256-GCM-SIV (RFC 8452), under an explicit nonce, or under a random nonce that precedes the ciphertext.

use aes_gcm_siv::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm_siv::{Aes256GcmSiv, Nonce};
use rand::RngCore as _;
use rand::rngs::OsRng;

use crate::secret::{Key, SecretBytes};

/// Length of a nonce in bytes.
pub const NONCE_LEN: usize = 12;
/// Length of the tag in bytes: a ciphertext is longer than its plaintext by this much.
pub const TAG_LEN: usize = 16;

/// Decryption failed. There is one error for every reason, so that it tells an attacker nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("decryption failed: wrong key, or altered ciphertext")]
pub struct OpenError;

/// Encrypts `plaintext` under an explicit nonce, which the caller must use once per key; returns `ciphertext || tag
/// (16)`.
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

/// Decrypts the output of [`seal`].
///
/// # Errors
/// [`OpenError`] for a wrong key, nonce or associated data, and for an altered ciphertext.
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

/// Encrypts under a random nonce: `nonce (12) || ciphertext || tag (16)`.
pub fn seal_random(key: &Key, aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let mut nonce = [0; NONCE_LEN];
    OsRng.fill_bytes(&mut nonce);
    let mut sealed = nonce.to_vec();
    sealed.extend(seal(key, &nonce, aad, plaintext));
    sealed
}

/// Decrypts the output of [`seal_random`].
///
/// # Errors
/// [`OpenError`] for a wrong key, nonce or associated data, and for an altered ciphertext.
pub fn open_random(key: &Key, aad: &[u8], sealed: &[u8]) -> Result<SecretBytes, OpenError> {
    let (nonce, ciphertext) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(OpenError)?;
    open(key, nonce, aad, ciphertext)
}
