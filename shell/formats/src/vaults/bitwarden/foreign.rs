//! Members of Bitwarden that have no field: they are kept and exported again.
//!
//! All of it is one map, by the names of Bitwarden's members. What our own export would say anyhow is not in it: so that
//! export comes in as it was. Some entries are no members of an item, but what is needed to write these:
//! [`COLLECTIONS`], [`UNTIL`], and below the names of nested maps what is left of those.

use serde_json::{Map, Value};

use super::schema::Entry;

/// The collections of the item, as the file lists them.
pub const COLLECTIONS: &str = "collections";
/// The time until which the password before the newest was in use, where the newest version is later.
pub const UNTIL: &str = "passwordUntil";
/// The UUID of the item.
pub const ID: &str = "id";
/// The time of creation, where the first version is later.
pub const CREATED: &str = "creationDate";
/// The values that our export writes for an item that was not imported from Bitwarden.
pub struct Usual {
    /// The UUID.
    pub id: String,
    /// The time of the first version.
    pub created: Option<String>,
}

/// Whether a member has its default value, and is not kept.
fn is_usual(key: &str, value: &Value) -> bool {
    match key {
        "organizationId" | "archivedDate" | "key" => value.is_null(),
        "reprompt" => value.as_u64() == Some(0),
        "secureNote" => value.get("type").and_then(Value::as_u64) == Some(0),
        _ => false,
    }
}

/// The members of an item that are kept, without those of nested objects.
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
