//! `base64` (RFC 4648, section 4, padded) and `base64url` (section 5, unpadded); both strict.

use data_encoding::{BASE64, BASE64URL_NOPAD, Encoding};
use shared::secret::SecretBytes;

use super::{FormatError, Portable, SecretFormat, bounded, trimmed};

pub(super) struct Base64 {
    name: &'static str,
    encoding: Encoding,
}

pub(super) const STANDARD: Base64 = Base64 {
    name: "base64",
    encoding: BASE64,
};
pub(super) const URL: Base64 = Base64 {
    name: "base64url",
    encoding: BASE64URL_NOPAD,
};

impl SecretFormat for Base64 {
    fn name(&self) -> &'static str {
        self.name
    }

    fn encode(&self, secret: &Portable) -> Result<SecretBytes, FormatError> {
        let text = self.encoding.encode(secret.value.expose());
        Ok(SecretBytes::new(text.into_bytes()))
    }

    fn decode(&self, bytes: &[u8]) -> Result<Portable, FormatError> {
        let text = trimmed(bytes);
        let value = self
            .encoding
            .decode(text)
            .map_err(|error| FormatError::new(format!("this is no {}: {error}", self.name)))?;
        // The decoder also takes several texts in a row, each with its padding.
        let is_joined = |pair: &[u8]| matches!(pair, [b'=', next] if *next != b'=');
        if text.windows(2).any(is_joined) {
            let text = format!("this is no {}: padding before the end", self.name);
            return Err(FormatError::new(text));
        }
        bounded(value).map(Portable::bare)
    }
}
