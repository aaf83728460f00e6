//! What Bitwarden says of an item and has no place here, so that it goes out again.
//!
//! All of it is one map, by the names of Bitwarden's members. What our own export would say anyhow is not in it: so that
//! export comes in as it was. Some entries are no members of an item, but what is needed to write these:
//! [`COLLECTIONS`], [`UNTIL`], and below the names of nested maps what is left of those.

use serde_json::{Map, Value};

use super::schema::Entry;

/// Collections that it is in, each as the file lists it.
pub const COLLECTIONS: &str = "collections";
/// Until when the password before the newest was in use, where the newest version was made later.
pub const UNTIL: &str = "passwordUntil";
/// A UUID.
pub const ID: &str = "id";
/// When it was made, where the first version was made later.
pub const CREATED: &str = "creationDate";
/// What our own export says of an item that never was in Bitwarden.
pub struct Usual {
    /// Its id.
    pub id: String,
    /// When its first version was made.
    pub created: Option<String>,
}

/// What every item has, and what is therefore not worth keeping.
fn is_usual(key: &str, value: &Value) -> bool {
    match key {
        "organizationId" | "archivedDate" | "key" => value.is_null(),
        "reprompt" => value.as_u64() == Some(0),
        "secureNote" => value.get("type").and_then(Value::as_u64) == Some(0),
        _ => false,
    }
}

/// What of an item is to be kept, but for what is nested in it.
pub fn of(entry: &Entry, collections: Vec<Value>, usual: &Usual) -> Map<String, Value> {
    let mut kept = entry.rest.clone();
    kept.retain(|key, value| !is_usual(key, value));
    let mut keep = |key: &str, given: &Option<String>, usual: Option<&str>| {
        if let Some(given) = given.as_deref().filter(|given| Some(*given) != usual) {
            kept.insert(key.into(), given.into());
        }
    };
    keep(ID, &entry.id, Some(&usual.id));
    keep(CREATED, &entry.creation_date, usual.created.as_deref());
    if !collections.is_empty() {
        kept.insert(COLLECTIONS.into(), collections.into());
    }
    kept
}
