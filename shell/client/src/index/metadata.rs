//! Metadata of a secret: one MessagePack map with text keys. Unknown keys are kept.

use std::collections::BTreeMap;

use keyshell_base::names::SecretName;
use rmpv::Value;
use shared::ids::SecretId;
use shared::secret::SecretBytes;

use crate::error::Error;

/// Longest encoded metadata, in bytes; padded and sealed they stay below the bound of a log entry.
pub const MAX_LEN: usize = 56 * 1024;
/// Longest note, in bytes.
pub const MAX_NOTE_LEN: usize = 32 * 1024;
/// Most tags.
pub const MAX_TAGS: usize = 64;

const MAX_DEPTH: usize = 16;
/// Keys that have fields of their own in [`Metadata`].
const RESERVED: [&str; 5] = ["created", "name", "note", "tags", "type"];

/// The metadata of one secret.
#[derive(Debug, Clone, PartialEq)]
pub struct Metadata {
    /// Key `name`.
    pub name: SecretName,
    /// Key `tags`: sorted, without duplicates.
    pub tags: Vec<String>,
    /// Key `note`.
    pub note: String,
    /// Key `type`: the media type of the value, where it is known.
    pub content_type: Option<String>,
    /// Key `created`: when an imported value was made, in milliseconds since 1970-01-01 UTC.
    pub created_ms: Option<u64>,
    /// All other keys, unchanged.
    pub other: BTreeMap<String, Value>,
}

/// Metadata cannot be encoded or decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// The bytes are not a map of the expected shape.
    #[error("metadata are malformed")]
    Malformed,
    /// They exceed a limit.
    #[error("{0}")]
    TooLong(String),
}

impl From<MetadataError> for Error {
    fn from(error: MetadataError) -> Self {
        match error {
            MetadataError::Malformed => Self::Failed(error.to_string()),
            MetadataError::TooLong(text) => Self::Limit(text),
        }
    }
}

impl Metadata {
    /// Metadata that consist of a name.
    pub fn named(name: SecretName) -> Self {
        Self {
            name,
            tags: Vec::new(),
            note: String::new(),
            content_type: None,
            created_ms: None,
            other: BTreeMap::new(),
        }
    }

    /// Stands for unreadable metadata of a secret without earlier ones: the name `unreadable ID`.
    ///
    /// # Errors
    /// [`MetadataError::Malformed`]; never for the ids of secrets.
    pub fn unreadable(secret: &SecretId) -> Result<Self, MetadataError> {
        let name = SecretName::parse(&format!("unreadable {secret}"));
        name.map(Self::named).map_err(|_| MetadataError::Malformed)
    }

    /// Sorts the tags and drops duplicates and empty ones.
    pub fn set_tags(&mut self, mut tags: Vec<String>) {
        tags.retain(|tag| !tag.is_empty());
        tags.sort();
        tags.dedup();
        self.tags = tags;
    }

    /// Encodes, with keys in ascending order and empty fields left out.
    ///
    /// # Errors
    /// [`MetadataError::TooLong`], [`MetadataError::Malformed`] for other keys that are reserved or nest too deep.
    pub fn encode(&self) -> Result<SecretBytes, MetadataError> {
        if self.note.len() > MAX_NOTE_LEN {
            let text = format!("a note has at most {MAX_NOTE_LEN} bytes");
            return Err(MetadataError::TooLong(text));
        }
        if self.tags.len() > MAX_TAGS || self.tags.iter().any(|tag| tag.len() > SecretName::MAX_LEN)
        {
            let text = format!("a secret has at most {MAX_TAGS} tags of at most 255 bytes");
            return Err(MetadataError::TooLong(text));
        }
        if RESERVED.iter().any(|key| self.other.contains_key(*key)) {
            return Err(MetadataError::Malformed);
        }
        let encoded = self.encode_any()?;
        if encoded.len() > MAX_LEN {
            let text = format!("name, tags, note and fields have at most {MAX_LEN} bytes together");
            return Err(MetadataError::TooLong(text));
        }
        // Keys of an imported file may not decode again; such an entry would be unreadable to all devices.
        Self::decode(encoded.expose())?;
        Ok(encoded)
    }

    /// Encodes without regard to the limits: another program of the owner may have written more.
    pub(crate) fn encode_any(&self) -> Result<SecretBytes, MetadataError> {
        let map = self.to_map();
        let entries = map.into_iter().map(|(key, value)| (key.into(), value));
        let mut bytes = Vec::new();
        rmpv::encode::write_value(&mut bytes, &Value::Map(entries.collect()))
            .map_err(|_| MetadataError::Malformed)?;
        Ok(SecretBytes::new(bytes))
    }

    fn to_map(&self) -> BTreeMap<String, Value> {
        let mut map = self.other.clone();
        map.insert("name".into(), self.name.as_str().into());
        if !self.tags.is_empty() {
            let tags = self.tags.iter().map(|tag| Value::from(tag.as_str()));
            map.insert("tags".into(), Value::Array(tags.collect()));
        }
        if !self.note.is_empty() {
            map.insert("note".into(), self.note.as_str().into());
        }
        if let Some(content_type) = &self.content_type {
            map.insert("type".into(), content_type.as_str().into());
        }
        if let Some(created) = self.created_ms {
            map.insert("created".into(), created.into());
        }
        map
    }

    /// Decodes metadata.
    ///
    /// # Errors
    /// [`MetadataError::Malformed`].
    pub fn decode(bytes: &[u8]) -> Result<Self, MetadataError> {
        let malformed = MetadataError::Malformed;
        let mut rest = bytes;
        let value = rmpv::decode::read_value_with_max_depth(&mut rest, MAX_DEPTH)
            .map_err(|_| MetadataError::Malformed)?;
        let (Value::Map(entries), true) = (value, rest.is_empty()) else {
            return Err(malformed);
        };
        let mut map = BTreeMap::new();
        for (key, value) in entries {
            let key = text(key)?;
            if map.insert(key, value).is_some() {
                return Err(malformed);
            }
        }
        let name = text(map.remove("name").ok_or(MetadataError::Malformed)?)?;
        let tags = match map.remove("tags") {
            Some(Value::Array(tags)) => tags.into_iter().map(text).collect::<Result<_, _>>()?,
            Some(_) => return Err(malformed),
            None => Vec::new(),
        };
        let note = map.remove("note").map(text).transpose()?;
        let content_type = map.remove("type").map(text).transpose()?;
        let created = map.remove("created").map(|value| value.as_u64());
        if created == Some(None) {
            return Err(malformed);
        }
        Ok(Self {
            name: SecretName::try_from(name).map_err(|_| MetadataError::Malformed)?,
            tags,
            note: note.unwrap_or_default(),
            content_type,
            created_ms: created.flatten(),
            other: map,
        })
    }
}

fn text(value: Value) -> Result<String, MetadataError> {
    match value {
        Value::String(text) => text.into_str().ok_or(MetadataError::Malformed),
        _ => Err(MetadataError::Malformed),
    }
}
