//! A whole vault in our own versioned JSON: every secret with every version.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::BASE64;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use shared::secret::{SecretBytes, SecretWriter};
use shared::wire::limits::MAX_VALUE_LEN;
use zeroize::Zeroizing;

use super::FormatError;

/// Value of the field `format`.
pub const FORMAT: &str = "keyshell-vault";
const VERSION: u32 = 1;

/// The document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaultDocument {
    format: String,
    version: u32,
    /// When it was written, in milliseconds since 1970-01-01 UTC.
    pub exported_ms: u64,
    /// The secrets.
    pub secrets: Vec<SecretDocument>,
}

/// One secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretDocument {
    /// Name.
    pub name: String,
    /// Tags.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Note.
    #[serde(default)]
    pub note: String,
    /// Media type of the newest version.
    #[serde(default)]
    pub content_type: Option<String>,
    /// Metadata that this program does not know, as base64 of MessagePack, by key.
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
    /// Versions, oldest first.
    pub versions: Vec<VersionDocument>,
}

/// One version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VersionDocument {
    /// Its number.
    pub version: u64,
    /// When it was made, in milliseconds since 1970-01-01 UTC.
    pub created_ms: u64,
    /// The value.
    pub value: Base64Value,
}

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

impl VaultDocument {
    /// A document of these secrets.
    pub fn new(exported_ms: u64, secrets: Vec<SecretDocument>) -> Self {
        Self {
            format: FORMAT.into(),
            version: VERSION,
            exported_ms,
            secrets,
        }
    }

    /// Writes the document.
    ///
    /// # Errors
    /// [`FormatError`]; never for a document of this type.
    pub fn encode(&self) -> Result<SecretBytes, FormatError> {
        let mut writer = SecretWriter::default();
        serde_json::to_writer_pretty(&mut writer, self)
            .map_err(|error| FormatError::new(error.to_string()))?;
        Ok(writer.finish())
    }

    /// Reads and checks a document.
    ///
    /// # Errors
    /// [`FormatError`]: another format or version, a name twice, versions out of order, a value too long.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        check_head(bytes, FORMAT, VERSION)?;
        let document: Self = serde_json::from_slice(bytes)
            .map_err(|error| FormatError::new(format!("this is no {FORMAT} JSON: {error}")))?;
        let mut names = BTreeSet::new();
        for secret in &document.secrets {
            secret.check()?;
            if !names.insert(&secret.name) {
                let text = format!("`{}` is in the file twice", secret.name);
                return Err(FormatError::new(text));
            }
        }
        Ok(document)
    }
}

impl SecretDocument {
    fn check(&self) -> Result<(), FormatError> {
        let name = &self.name;
        let mut expected = 1..;
        for version in &self.versions {
            if expected.next() != Some(version.version) {
                let text = format!("`{name}`: versions must be 1, 2, 3 and so on");
                return Err(FormatError::new(text));
            }
            if version.value.0.len() > MAX_VALUE_LEN {
                let text = format!("`{name}`: a value has at most {MAX_VALUE_LEN} bytes (1 MiB)");
                return Err(FormatError::new(text));
            }
        }
        if self.versions.is_empty() {
            return Err(FormatError::new(format!("`{name}` has no versions")));
        }
        Ok(())
    }
}

/// Says what is wrong with a document of another format or version before its fields are looked at.
pub(super) fn check_head(bytes: &[u8], format: &str, version: u32) -> Result<(), FormatError> {
    #[derive(Deserialize)]
    struct Head {
        format: String,
        version: u32,
    }
    let head: Head = serde_json::from_slice(bytes)
        .map_err(|error| FormatError::new(format!("this is no {format} JSON: {error}")))?;
    if head.format != format {
        return Err(FormatError::new(format!(
            "this is `{}`, not {format}",
            head.format
        )));
    }
    if head.version != version {
        return Err(FormatError::new(format!(
            "this is version {} of {format}, and this program reads version {version}: use a newer keyshell",
            head.version
        )));
    }
    Ok(())
}
