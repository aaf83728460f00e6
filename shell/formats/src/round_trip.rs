//! Round trips through formats of other programs: an item that was imported is exported as it was, and an item that was
//! exported is imported as it was.
//!
//! Two mechanisms make that so:
//!
//! - Foreign members. Members of a foreign entry that have no field here are kept verbatim under the format's name: in
//!   `foreign` of a record, in the metadata of an item without fields, and as prefixed members of one field. Exports of
//!   the same format write them again.
//! - Exact copies. An item that a format's own members do not state exactly is exported with one more member named
//!   `keyshell`, which other programs ignore. The import accepts the copy only if composing the item again gives the very
//!   entry that was read, so a change by another program takes precedence.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::document::Base64Value;
use crate::model::item::Item;

/// The name of the member or line that holds the exact copy.
pub const COPY: &str = "keyshell";

/// The name under which Bitwarden's members are kept.
pub const BITWARDEN: &str = "bitwarden";
/// The name under which members of CXF are kept.
pub const CXF: &str = "cxf";
/// The name under which elements of KeePass are kept.
pub const KDBX: &str = "kdbx";
/// The name under which 1Password's members are kept.
pub const ONEPUX: &str = "1pux";
/// The name under which the layout of texts of `pass` is kept.
pub const PASS: &str = "pass";
/// The name under which members of Vault's answers are kept.
pub const VAULT_KV: &str = "vault-kv";

/// Longest foreign members of an item without fields, in bytes of JSON: they go into the metadata.
const MAX_IN_METADATA: usize = 4096;

/// The elements of a list; none for other values.
pub fn list(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(list)) => list,
        _ => Vec::new(),
    }
}

/// The members of an object; none for other values.
pub fn object(value: Option<Value>) -> Map<String, Value> {
    match value {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    }
}

/// The text of a value; `None` for other values.
pub fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// Whether a format keeps a foreign member of a field under this key.
pub fn is_foreign(key: &str) -> bool {
    [BITWARDEN, CXF, KDBX, ONEPUX, PASS, VAULT_KV]
        .iter()
        .filter_map(|format| key.strip_prefix(format))
        .any(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// The members that a format kept of an item, in the record or in the metadata.
pub fn foreign_members(item: &Item, format: &str) -> Map<String, Value> {
    if let Some(record) = item.as_record() {
        return record.kept(format);
    }
    let kept = item.kept.get(format).cloned();
    let kept = kept.and_then(|value| rmpv::ext::from_value(value).ok());
    kept.unwrap_or_default()
}

/// Whether foreign members are short enough for the metadata of an item without fields.
pub fn fits_in_metadata(members: &Map<String, Value>) -> bool {
    members.is_empty() || Value::Object(members.clone()).to_string().len() <= MAX_IN_METADATA
}

/// Keeps foreign members in the metadata of an item without fields.
pub fn keep_in_metadata(item: &mut Item, format: &str, members: &Map<String, Value>) {
    if !members.is_empty()
        && let Ok(value) = rmpv::ext::to_value(members)
    {
        item.kept.insert(format.to_owned(), value);
    }
}

/// Foreign members of one field, as [`Field::other`](crate::model::record::Field::other) holds them.
pub fn prefixed(format: &str, members: Map<String, Value>) -> Map<String, Value> {
    let members = members.into_iter();
    members
        .map(|(key, value)| (format!("{format}-{key}"), value))
        .collect()
}

/// The members that [`prefixed`] was given; members of other formats are left out.
pub fn unprefixed(format: &str, other: Map<String, Value>) -> Map<String, Value> {
    let own = |key: &str| Some(key.strip_prefix(format)?.strip_prefix('-')?.to_owned());
    let members = other.into_iter();
    members
        .filter_map(|(key, value)| Some((own(&key)?, value)))
        .collect()
}

/// 16 bytes that are the same for the same name, for ids of entries that have none: two exports can be compared.
pub fn stable_id(name: &str) -> [u8; 16] {
    let mut id = [0; 16];
    let hash = Sha256::digest(name.as_bytes());
    id.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    id
}

/// An exact copy of a value with its metadata, as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExactCopy {
    /// The value, in base64.
    pub value: Base64Value,
    /// The media type of the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The note beside the value.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Members of one format.
    #[serde(flatten)]
    pub members: Map<String, Value>,
}

impl ExactCopy {
    /// The copy of an item's newest value, without its note.
    pub fn of(item: &Item) -> Self {
        let newest = item.newest().map(|newest| newest.value.clone());
        Self {
            value: Base64Value(newest.unwrap_or_default()),
            content_type: item.content_type.clone(),
            note: String::new(),
            members: Map::new(),
        }
    }

    /// A member of the format.
    pub fn member<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_value(self.members.get(name)?.clone()).ok()
    }
}

/// The value that was read from an exact copy, if the entry beside the copy is still the one that is composed from it.
pub fn accept<T, E: PartialEq>(read: T, entry: &E, compose: impl FnOnce(&T) -> E) -> Option<T> {
    (compose(&read) == *entry).then_some(read)
}
