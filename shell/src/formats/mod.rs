//! Formats of single secrets and of whole vaults: one file each.

pub mod age_file;
mod base64;
mod hex;
mod json;
mod len;
mod raw;
pub mod vault;

use shared::secret::SecretBytes;
use shared::wire::limits::MAX_VALUE_LEN;

use crate::error::Error;

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

/// Bytes that are not of a format, or a value that a format cannot carry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FormatError(pub String);

impl FormatError {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl From<FormatError> for Error {
    fn from(error: FormatError) -> Self {
        Self::Failed(error.0)
    }
}

/// A format of one secret.
pub trait SecretFormat: Sync {
    /// Its name on the command line.
    fn name(&self) -> &'static str;

    /// Writes a secret.
    ///
    /// # Errors
    /// [`FormatError`] for values that the format cannot carry.
    fn encode(&self, secret: &Portable) -> Result<SecretBytes, FormatError>;

    /// Reads a secret.
    ///
    /// # Errors
    /// [`FormatError`] for anything but exactly what the format says.
    fn decode(&self, bytes: &[u8]) -> Result<Portable, FormatError>;
}

/// All formats of one secret.
pub const ALL: [&dyn SecretFormat; 7] = [
    &raw::Raw,
    &hex::Hex,
    &base64::STANDARD,
    &base64::URL,
    &len::ONE_BYTE,
    &len::FOUR_BYTES,
    &json::Json,
];

/// The format of this name.
///
/// # Errors
/// [`Error::Usage`], listing the names.
pub fn named(name: &str) -> Result<&'static dyn SecretFormat, Error> {
    ALL.into_iter()
        .find(|format| format.name() == name)
        .ok_or_else(|| {
            let names = ALL.map(SecretFormat::name).join(", ");
            Error::Usage(format!("there is no format `{name}`; there are {names}"))
        })
}

/// What a file is, by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detected {
    /// An age file, which holds one of the others.
    Age,
    /// A whole vault in our JSON.
    Vault,
    /// One secret in our JSON.
    Secret,
    /// Anything else: the value itself.
    Other,
}

/// Looks at a file's content; its name tells nothing.
pub fn detect(bytes: &[u8]) -> Detected {
    #[derive(serde::Deserialize)]
    struct Head {
        format: String,
    }
    if bytes.starts_with(b"age-encryption.org/v1\n") {
        return Detected::Age;
    }
    match serde_json::from_slice::<Head>(bytes) {
        Ok(head) if head.format == vault::FORMAT => Detected::Vault,
        Ok(head) if head.format == json::FORMAT => Detected::Secret,
        _ => Detected::Other,
    }
}

fn bounded(value: Vec<u8>) -> Result<SecretBytes, FormatError> {
    let value = SecretBytes::new(value);
    if value.len() > MAX_VALUE_LEN {
        let text = format!("a value has at most {MAX_VALUE_LEN} bytes (1 MiB)");
        return Err(FormatError::new(text));
    }
    Ok(value)
}

/// Text without the line end that editors and `echo` put after it.
fn trimmed(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii()
}
