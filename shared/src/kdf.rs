//! HKDF-SHA-512 (RFC 5869) and HMAC-SHA-256 (RFC 2104) over length-prefixed fields with versioned labels.

use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use sha2::{Sha256, Sha512};
use zeroize::Zeroizing;

/// Joins fields unambiguously: each is preceded by its length in bytes as an unsigned 32-bit big-endian integer.
///
/// All fields are bounded far below 4 GiB. The length of a longer field would saturate; the field itself is never cut.
pub fn length_prefixed(fields: &[&[u8]]) -> Vec<u8> {
    let mut joined = Vec::with_capacity(fields.iter().map(|f| f.len() + 4).sum());
    for field in fields {
        let len = u32::try_from(field.len()).unwrap_or(u32::MAX);
        joined.extend_from_slice(&len.to_be_bytes());
        joined.extend_from_slice(field);
    }
    joined
}

/// Derives `N` bytes (at most 255 * 64) from `ikm`: extract with an empty salt, expand with
/// `info = length_prefixed(label, fields...)`.
pub fn derive<const N: usize>(ikm: &[u8], label: &str, fields: &[&[u8]]) -> Zeroizing<[u8; N]> {
    const { assert!(N <= 255 * 64, "HKDF-SHA-512 yields at most 16,320 bytes") };
    let mut parts = vec![label.as_bytes()];
    parts.extend_from_slice(fields);
    let mut okm = Zeroizing::new([0; N]);
    let expanded = Hkdf::<Sha512>::new(None, ikm).expand(&length_prefixed(&parts), &mut okm[..]);
    debug_assert!(expanded.is_ok(), "the length was checked at compile time");
    okm
}

/// HMAC-SHA-256 (RFC 2104) over `length_prefixed(fields)`.
pub fn mac(key: &[u8; 32], fields: &[&[u8]]) -> [u8; 32] {
    // HMAC takes keys of any length, so the error case does not exist for 32 bytes.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return [0; 32];
    };
    mac.update(&length_prefixed(fields));
    mac.finalize().into_bytes().into()
}
