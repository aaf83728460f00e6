//! Algorithms that several formats use.

use aes::Aes256;
use argon2::{Algorithm, Argon2, Params, Version};
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockDecryptMut as _, KeyIvInit as _};
use shared::secret::SecretBytes;
use zeroize::Zeroizing;

use crate::error::FormatError;

/// A key of 32 bytes.
pub type Key = Zeroizing<[u8; 32]>;

/// Derives a key with Argon2 (RFC 9106) at these costs: memory in KiB, passes and lanes. The caller has bounded them.
///
/// # Errors
/// [`FormatError`] for parameters that the algorithm does not allow.
pub fn argon2(
    (algorithm, version): (Algorithm, Version),
    (memory, passes, lanes): (u32, u32, u32),
    password: &[u8],
    salt: &[u8],
) -> Result<Key, FormatError> {
    let failed = |error| FormatError::library(format!("Argon2: {error}"));
    let params = Params::new(memory, passes, lanes, Some(32)).map_err(failed)?;
    let mut key = Key::default();
    Argon2::new(algorithm, version, params)
        .hash_password_into(password, salt, &mut *key)
        .map_err(failed)?;
    Ok(key)
}

/// Decrypts AES-256-CBC with PKCS #7 padding; `None` for an IV of another length and for wrong padding.
pub fn decrypt_aes_cbc(key: &Key, iv: &[u8], mut sealed: Vec<u8>) -> Option<SecretBytes> {
    let cipher = cbc::Decryptor::<Aes256>::new_from_slices(&**key, iv).ok()?;
    let len = cipher.decrypt_padded_mut::<Pkcs7>(&mut sealed).ok()?.len();
    sealed.truncate(len);
    Some(SecretBytes::new(sealed))
}
