//! The parts that our own JSON documents have in common: their head, and values in base64.

use data_encoding::BASE64;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use shared::secret::SecretBytes;
use zeroize::Zeroizing;

use crate::error::FormatError;

/// A value as base64 text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base64Value(pub SecretBytes);

impl Serialize for Base64Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = Zeroizing::new(BASE64.encode(self.0.expose()));
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Base64Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        BASE64
            .decode(text.as_bytes())
            .map(|bytes| Self(SecretBytes::new(bytes)))
            .map_err(|error| D::Error::custom(format!("value is no base64: {error}")))
    }
}

/// The members that every document of ours has.
#[derive(Deserialize)]
pub struct Head {
    format: String,
    version: u32,
}

impl Head {
    /// Checks format and version before other members are read.
    ///
    /// # Errors
    /// [`FormatError`] for another format or version.
    pub fn check(&self, format: &str, version: u32) -> Result<(), FormatError> {
        if self.format != format {
            let text = format!("the file is `{}`, not {format}", self.format);
            return Err(FormatError::not_this_format(text));
        }
        if self.version != version {
            return Err(FormatError::unsupported(format!(
                "this is version {} of {format}, but this program reads version {version}: use a newer keyshell",
                self.version
            )));
        }
        Ok(())
    }
}

/// Whether a document of one secret is of this format and version.
///
/// # Errors
/// [`FormatError`], saying what it is instead.
pub fn check_head(bytes: &[u8], format: &str, version: u32) -> Result<(), FormatError> {
    let head: Head = serde_json::from_slice(bytes).map_err(|error| {
        FormatError::not_this_format(format!("this is not {format} JSON: {error}"))
    })?;
    head.check(format, version)
}
