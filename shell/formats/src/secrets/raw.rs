//! `raw`: the value, byte for byte.

use shared::secret::SecretBytes;

use crate::format::{Ask, FormatError, Portable, SecretFormat, bounded};

pub struct Raw;

impl SecretFormat for Raw {
    fn name(&self) -> &'static str {
        "raw"
    }

    fn about(&self) -> &'static str {
        "the value, byte for byte"
    }

    fn encode(&self, secret: &Portable, _: &dyn Ask) -> Result<SecretBytes, FormatError> {
        Ok(secret.value.clone())
    }

    fn decode(&self, bytes: &[u8], _: &dyn Ask) -> Result<Portable, FormatError> {
        bounded(bytes.to_vec()).map(Portable::bare)
    }
}
