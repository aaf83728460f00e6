//! The password: normalised (Unicode NFC) and bounded.

use shared::secret::SecretBytes;
use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

use crate::error::{Error, Result};
use crate::keys::device_key::DeviceKey;

/// Longest password, in bytes after normalisation.
const MAX_LEN: usize = 1024;

/// A password in NFC, 1 to 1024 bytes, and the device key with it where the account has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Password {
    typed: SecretBytes,
    mixed: Option<SecretBytes>,
}

impl Password {
    /// Normalises a typed password; never truncates it.
    ///
    /// # Errors
    /// [`Error::Usage`] for an empty password, and for more than 1024 bytes.
    pub fn parse(typed: &str) -> Result<Self> {
        if typed.len() > 4 * MAX_LEN {
            return Err(Error::Usage(too_long()));
        }
        // Room for the longest expansion, so that no half-filled copies are left behind by growing.
        let mut normalised = Zeroizing::new(String::with_capacity(typed.len() * 12));
        normalised.extend(typed.nfc());
        if normalised.is_empty() {
            return Err(Error::Usage("the password is empty".into()));
        }
        if normalised.len() > MAX_LEN {
            return Err(Error::Usage(too_long()));
        }
        Ok(Self {
            typed: SecretBytes::from(normalised.as_bytes()),
            mixed: None,
        })
    }

    /// This password together with the device key of the account, if there is one.
    #[must_use]
    pub fn with_key(self, key: Option<&DeviceKey>) -> Self {
        let mixed = key.map(|key| key.mix(&self.typed));
        Self { mixed, ..self }
    }

    /// The typed password, normalised.
    pub fn typed(&self) -> &SecretBytes {
        &self.typed
    }

    /// The password that OPAQUE gets, and that wraps the local store's key: with the device key, where there is one.
    pub fn as_secret(&self) -> &SecretBytes {
        self.mixed.as_ref().unwrap_or(&self.typed)
    }
}

fn too_long() -> String {
    format!("a password has at most {MAX_LEN} bytes")
}
