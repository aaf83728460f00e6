//! One secret with the metadata that a file of one secret can carry.

use shared::secret::SecretBytes;
use shared::wire::limits::MAX_VALUE_LEN;

use crate::error::FormatError;

/// One secret that is exported or imported.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Portable {
    /// The name, where the format carries one.
    pub name: Option<String>,
    /// The tags.
    pub tags: Vec<String>,
    /// The note.
    pub note: String,
    /// The media type of the value.
    pub content_type: Option<String>,
    /// The value.
    pub value: SecretBytes,
    /// Parts of the file that the import drops, each as a short phrase.
    pub lost: Vec<String>,
}

impl Portable {
    /// A value with its media type.
    pub fn typed(content_type: &str, value: SecretBytes) -> Self {
        Self {
            content_type: Some(content_type.to_owned()),
            ..Self::bare(value)
        }
    }

    /// A secret that has a value only.
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
    FormatError::check_size("the value is too long", value.len(), MAX_VALUE_LEN, "bytes")?;
    Ok(value)
}
