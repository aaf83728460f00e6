//! `base64` (RFC 4648, section 4, padded) and `base64url` (section 5, unpadded); both strict.

use data_encoding::{BASE64, BASE64URL_NOPAD, Encoding};
use shared::secret::SecretBytes;

use crate::format::{FormatError, Portable, SecretFormat, bounded};

/// The format `base64`.
pub const STANDARD: SecretFormat = SecretFormat::new(
    "base64",
    "the value in base64 (RFC 4648, section 4)",
    |secret, _| Ok(encode(&BASE64, secret)),
    |bytes, _| decode("base64", &BASE64, bytes),
);
/// The format `base64url`.
pub const URL: SecretFormat = SecretFormat::new(
    "base64url",
    "the value in base64url without padding (RFC 4648, section 5)",
    |secret, _| Ok(encode(&BASE64URL_NOPAD, secret)),
    |bytes, _| decode("base64url", &BASE64URL_NOPAD, bytes),
);

fn encode(encoding: &Encoding, secret: &Portable) -> SecretBytes {
    SecretBytes::new(encoding.encode(secret.value.expose()).into_bytes())
}

fn decode(name: &str, encoding: &Encoding, bytes: &[u8]) -> Result<Portable, FormatError> {
    let text = bytes.trim_ascii();
    let not = |why: &str| FormatError::not_this_format(format!("this is not {name}: {why}"));
    let value = encoding.decode(text);
    let value = value.map_err(|error| not(&error.to_string()))?;
    // The decoder accepts several texts in a row, each with its padding.
    let is_joined = |pair: &[u8]| matches!(pair, [b'=', next] if *next != b'=');
    if text.windows(2).any(is_joined) {
        return Err(not("padding before the end"));
    }
    bounded(value).map(Portable::bare)
}
