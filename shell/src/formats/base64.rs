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
        let value = self
            .encoding
            .decode(trimmed(bytes))
            .map_err(|error| FormatError::new(format!("this is no {}: {error}", self.name)))?;
        bounded(value).map(Portable::bare)
    }
}
