//! Algorithms that several formats use.

use aes::Aes256;
use aes_gcm::Aes256Gcm;
use aes_gcm::aead::Aead as _;
use argon2::{Algorithm, Argon2, Params, Version};
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipher, BlockDecryptMut, KeyInit, KeyIvInit as _};
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

/// Most N·r·p of scrypt that a file may ask for: four times the costs of Ethereum's programs, 1 GiB.
const MAX_SCRYPT: u64 = 1 << 23;

/// Checks the work that a file asks of scrypt.
///
/// # Errors
/// [`FormatError`] for work over the limit.
pub fn check_scrypt_work(n: u64, r: u64, p: u64) -> Result<(), FormatError> {
    let work = n.checked_mul(r).and_then(|work| work.checked_mul(p));
    let what = "units of scrypt work (N * r * p)";
    FormatError::check_cost(what, work.unwrap_or(u64::MAX), 0..=MAX_SCRYPT).map(drop)
}

/// Checks the costs of scrypt.
///
/// # Errors
/// [`FormatError`] for costs over the limit, and for parameters that the algorithm does not allow.
pub fn check_scrypt(n: u64, r: u32, p: u32) -> Result<(), FormatError> {
    check_scrypt_work(n, r.into(), p.into())?;
    if !n.is_power_of_two() {
        return Err(FormatError::not_this_format(
            "scrypt's N is no power of two",
        ));
    }
    scrypt_params(n, r, p).map(drop)
}

fn scrypt_params(n: u64, r: u32, p: u32) -> Result<scrypt::Params, FormatError> {
    let log_n = n.checked_ilog2().and_then(|log_n| u8::try_from(log_n).ok());
    scrypt::Params::new(log_n.unwrap_or(u8::MAX), r, p).map_err(|_| {
        FormatError::not_this_format(format!("scrypt does not allow N = {n}, r = {r}, p = {p}"))
    })
}

/// Derives a key with scrypt (RFC 7914) at costs that [`check_scrypt`] has bounded: N, r and p.
///
/// # Errors
/// [`FormatError`] for parameters that the algorithm does not allow.
pub fn scrypt(
    password: &[u8],
    salt: &[u8],
    (n, r, p): (u64, u32, u32),
) -> Result<Key, FormatError> {
    let mut key = Key::default();
    let params = scrypt_params(n, r, p)?;
    scrypt::scrypt(password, salt, &params, &mut *key).map_err(FormatError::library)?;
    Ok(key)
}

/// Decrypts AES-256-GCM, where the tag is behind the ciphertext; `None` for another key, and for an IV of another length.
pub fn decrypt_aes_gcm(key: &Key, iv: &[u8], sealed: &[u8]) -> Option<SecretBytes> {
    let iv: &[u8; 12] = iv.try_into().ok()?;
    let plain = Aes256Gcm::new((&**key).into()).decrypt(iv.into(), sealed);
    plain.ok().map(SecretBytes::new)
}

/// Decrypts AES-256-CBC with PKCS #7 padding; `None` for an IV of another length and for wrong padding.
pub fn decrypt_aes_cbc(key: &Key, iv: &[u8], sealed: Vec<u8>) -> Option<SecretBytes> {
    decrypt_cbc::<Aes256>(key, iv, sealed)
}

/// Decrypts a block cipher in CBC mode with PKCS #7 padding; `None` for an IV of another length and for wrong padding.
pub fn decrypt_cbc<C: BlockDecryptMut + BlockCipher + KeyInit>(
    key: &Key,
    iv: &[u8],
    mut sealed: Vec<u8>,
) -> Option<SecretBytes> {
    let cipher = cbc::Decryptor::<C>::new_from_slices(&**key, iv).ok()?;
    let len = cipher.decrypt_padded_mut::<Pkcs7>(&mut sealed).ok()?.len();
    sealed.truncate(len);
    Some(SecretBytes::new(sealed))
}
