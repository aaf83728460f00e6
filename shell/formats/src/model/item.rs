//! Items: the structure that all formats of whole vaults are read into and written from.

use std::collections::BTreeMap;

use rmpv::Value;
use shared::secret::SecretBytes;

use crate::model::record::{self, Record};

/// Media type of notes and other text.
pub const TEXT: &str = "text/plain";
/// The tag of items that other programs call favourites.
pub const FAVOURITE: &str = "favourite";

/// One secret with its metadata, versions and attachments.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Item {
    /// The name with its folders, separated by `/`; as in the file, not validated.
    pub name: String,
    /// The tags.
    pub tags: Vec<String>,
    /// The note in the metadata. The note of a record is a field of the record instead.
    pub note: String,
    /// The media type of the newest version.
    pub content_type: Option<String>,
    /// Metadata that have no field in this struct, by key.
    pub kept: BTreeMap<String, Value>,
    /// The versions of the value, oldest first; never empty.
    pub versions: Vec<ItemVersion>,
    /// The attached files.
    pub attachments: Vec<Attachment>,
    /// Parts of the file that the import drops, each as a short phrase.
    pub losses: Vec<String>,
}

/// One version of an item's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ItemVersion {
    /// The time of creation in milliseconds since 1970-01-01 UTC, where it is known.
    pub created_ms: Option<u64>,
    /// The value.
    pub value: SecretBytes,
}

/// An attached file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The name: one component, not validated.
    pub name: String,
    /// The content.
    pub content: SecretBytes,
}

impl Item {
    /// An item whose value is bytes.
    pub fn plain(name: impl Into<String>, value: SecretBytes, created_ms: Option<u64>) -> Self {
        Self {
            name: name.into(),
            versions: vec![ItemVersion { created_ms, value }],
            ..Self::default()
        }
    }

    /// An item whose value is text.
    pub fn text(name: impl Into<String>, text: &str, created_ms: Option<u64>) -> Self {
        Self {
            content_type: Some(TEXT.into()),
            ..Self::plain(name, SecretBytes::from(text.as_bytes()), created_ms)
        }
    }

    /// An item whose value is a record.
    pub fn record(name: impl Into<String>, record: &Record, created_ms: Option<u64>) -> Self {
        Self {
            content_type: Some(record::CONTENT_TYPE.into()),
            ..Self::plain(name, record.encode(), created_ms)
        }
    }

    /// The newest version.
    pub fn newest(&self) -> Option<&ItemVersion> {
        self.versions.last()
    }

    /// The newest value as a record; `None` for values without fields.
    pub fn as_record(&self) -> Option<Record> {
        self.record_of(self.newest()?)
    }

    /// The value of one of the versions as a record; `None` for values without fields.
    pub fn record_of(&self, version: &ItemVersion) -> Option<Record> {
        let record = || Record::decode(version.value.expose()).ok();
        self.is_record().then(record)?
    }

    /// Whether the newest value and its media type are the same; records are compared by their fields, not by the layout of
    /// their JSON.
    pub fn has_value_of(&self, other: &Self) -> bool {
        let is_same_value = match (self.as_record(), other.as_record()) {
            (Some(own), Some(other)) => own == other,
            _ => self.newest().map(|one| &one.value) == other.newest().map(|one| &one.value),
        };
        is_same_value && self.content_type == other.content_type
    }

    /// Whether the values are records.
    pub fn is_record(&self) -> bool {
        self.content_type.as_deref() == Some(record::CONTENT_TYPE)
    }

    /// Adds the tag [`FAVOURITE`].
    pub fn mark_favourite(&mut self) {
        if !self.is_favourite() {
            self.tags.push(FAVOURITE.into());
        }
    }

    /// Whether the item has the tag [`FAVOURITE`].
    pub fn is_favourite(&self) -> bool {
        self.tags.iter().any(|tag| tag == FAVOURITE)
    }

    /// The folders and the last component of the name.
    pub fn path(&self) -> (Option<&str>, &str) {
        match self.name.rsplit_once('/') {
            Some((folder, name)) if !folder.is_empty() && !name.is_empty() => (Some(folder), name),
            _ => (None, &self.name),
        }
    }
}

/// A part of an item that an import or export drops.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Loss {
    /// The name of the item.
    pub item: String,
    /// The part, and where needed the reason.
    pub what: String,
}

impl Loss {
    /// The loss of a part of an item.
    pub fn new(item: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            item: item.into(),
            what: what.into(),
        }
    }
}

impl std::fmt::Display for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.item, self.what)
    }
}
