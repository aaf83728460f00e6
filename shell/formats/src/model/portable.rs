//! One secret with the metadata that a file of one secret can carry.

use shared::secret::SecretBytes;
use shared::wire::limits::MAX_VALUE_LEN;

use crate::error::FormatError;

/// A secret on its way in or out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Portable {
    /// Its name, where the format carries one.
    pub name: Option<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Its note.
    pub note: String,
    /// Its media type.
    pub content_type: Option<String>,
    /// Its value.
    pub value: SecretBytes,
    /// What the file says of it that has no place here, each in a few words.
    pub lost: Vec<String>,
}

impl Portable {
    /// A value and nothing else.
    pub fn bare(value: SecretBytes) -> Self {
        Self {
            value,
            ..Self::default()
        }
    }
}

/// A value, checked to be at most 1 MiB long.
///
/// # Errors
/// [`FormatError`] for longer ones.
pub fn bounded(value: Vec<u8>) -> Result<SecretBytes, FormatError> {
    let value = SecretBytes::new(value);
    if value.len() > MAX_VALUE_LEN {
        return Err(FormatError::too_large(
            "the value is too long",
            MAX_VALUE_LEN as u64,
            "bytes",
        ));
    }
    Ok(value)
}
