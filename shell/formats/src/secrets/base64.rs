//! `base64` (RFC 4648, section 4, padded) and `base64url` (section 5, unpadded); both strict.

use data_encoding::{BASE64, BASE64URL_NOPAD, Encoding};
use shared::secret::SecretBytes;

use crate::format::{Ask, FormatError, Portable, SecretFormat, bounded};

pub struct Base64 {
    name: &'static str,
    about: &'static str,
    encoding: Encoding,
}

pub const STANDARD: Base64 = Base64 {
    name: "base64",
    about: "the value in base64 (RFC 4648, section 4)",
    encoding: BASE64,
};
pub const URL: Base64 = Base64 {
    name: "base64url",
    about: "the value in base64url without padding (RFC 4648, section 5)",
    encoding: BASE64URL_NOPAD,
};

impl SecretFormat for Base64 {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn encode(&self, secret: &Portable, _: &dyn Ask) -> Result<SecretBytes, FormatError> {
        let text = self.encoding.encode(secret.value.expose());
        Ok(SecretBytes::new(text.into_bytes()))
    }

    fn decode(&self, bytes: &[u8], _: &dyn Ask) -> Result<Portable, FormatError> {
        let text = bytes.trim_ascii();
        let value = self.encoding.decode(text).map_err(|error| {
            FormatError::not_this_format(format!("this is not {}: {error}", self.name))
        })?;
        // The decoder also takes several texts in a row, each with its padding.
        let is_joined = |pair: &[u8]| matches!(pair, [b'=', next] if *next != b'=');
        if text.windows(2).any(is_joined) {
            let text = format!("this is not {}: padding before the end", self.name);
            return Err(FormatError::not_this_format(text));
        }
        bounded(value).map(Portable::bare)
    }
}
