//! `hex`: lower-case out; either case in.

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use shared::secret::SecretBytes;

use super::{FormatError, Portable, SecretFormat, bounded, trimmed};

pub(super) struct Hex;

impl SecretFormat for Hex {
    fn name(&self) -> &'static str {
        "hex"
    }

    fn encode(&self, secret: &Portable) -> Result<SecretBytes, FormatError> {
        let text = HEXLOWER.encode(secret.value.expose());
        Ok(SecretBytes::new(text.into_bytes()))
    }

    fn decode(&self, bytes: &[u8]) -> Result<Portable, FormatError> {
        let value = HEXLOWER_PERMISSIVE
            .decode(trimmed(bytes))
            .map_err(|error| FormatError::new(format!("this is no hex: {error}")))?;
        bounded(value).map(Portable::bare)
    }
}
