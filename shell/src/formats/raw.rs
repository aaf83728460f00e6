//! `raw`: the value, byte for byte.

use shared::secret::SecretBytes;

use super::{FormatError, Portable, SecretFormat, bounded};

pub(super) struct Raw;

impl SecretFormat for Raw {
    fn name(&self) -> &'static str {
        "raw"
    }

    fn encode(&self, secret: &Portable) -> Result<SecretBytes, FormatError> {
        Ok(secret.value.clone())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Portable, FormatError> {
        bounded(bytes.to_vec()).map(Portable::bare)
    }
}
