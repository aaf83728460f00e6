//! Content that a format keeps verbatim and no field shows: it is listed by the import, and by each export in another
//! format.

use serde_json::{Map, Value};

use crate::model::item::Item;
use crate::round_trip::{self, BITWARDEN, CXF, KDBX, ONEPUX, VAULT_KV};

/// Members that only state how a program handles or shows an item, as paths of keys, by format.
const TECHNICAL: [(&str, &[&str]); 5] = [
    (
        BITWARDEN,
        &[
            "id",
            "creationDate",
            "passwordUntil",
            "collections",
            "organizationId",
            "reprompt",
            "secureNote",
            "archivedDate",
            "attachments",
            "key",
            "object",
            "edit",
            "viewPassword",
            "organizationUseTotp",
            "permissions",
            "login.uri",
            "login.passwordRevisionDate",
            "login.autofillOnPageLoad",
            "card.expMonth",
            "card.expYear",
        ],
    ),
    (
        CXF,
        &[
            "id",
            "creationAt",
            "modifiedAt",
            "title",
            "scope",
            "favorite",
            "credentials.id",
            "credentials.type",
            "credentials.label",
            "credentials.fields.id",
            "credentials.fields.fieldType",
        ],
    ),
    (
        KDBX,
        &[
            "uuid",
            "created",
            // The reference whose text the name is.
            "title",
            "IconID",
            "ForegroundColor",
            "BackgroundColor",
            "QualityCheck",
        ],
    ),
    (
        ONEPUX,
        &[
            "uuid",
            "createdAt",
            "updatedAt",
            "categoryUuid",
            "details.htmlForm",
            "overview.icons",
            "overview.watchtowerExclusions",
        ],
    ),
    (
        VAULT_KV,
        &["metadata.version", "metadata.destroyed", "mount_type"],
    ),
];

/// The content of an item that only exports in its own format contain, each part as a phrase; that of `own` is left out.
pub fn phrases(item: &Item, own: &str) -> Vec<String> {
    let mut phrases = Vec::new();
    for (format, technical) in TECHNICAL.iter().filter(|(format, _)| *format != own) {
        let members = round_trip::foreign_members(item, format);
        let mut found = Vec::new();
        find(&members, "", technical, &mut found);
        found.dedup();
        let phrase = |what: String| {
            format!("{what}: it has no field, and only exports to {format} contain it")
        };
        phrases.extend(found.into_iter().map(phrase));
    }
    phrases
}

/// Finds the members of the top, and of the objects below it that have other members as well.
fn find(members: &Map<String, Value>, above: &str, technical: &[&str], found: &mut Vec<String>) {
    let kind = members.get("type").or_else(|| members.get("name"));
    for (key, value) in members {
        let path = format!("{above}{key}");
        // The metadata of a value without fields hold the members of the item alone.
        let own = path.strip_prefix("item.").unwrap_or(&path);
        if technical.contains(&own) {
            continue;
        }
        let under = format!("{path}.");
        let is_parent = path == "item" || technical.iter().any(|one| one.starts_with(&under));
        let list = match value {
            Value::Array(list) => list.as_slice(),
            one => std::slice::from_ref(one),
        };
        for value in list {
            match value {
                Value::Object(inner) if is_parent => find(inner, &under, technical, found),
                Value::Object(inner) if key == "elements" => {
                    let name = inner
                        .get("name")
                        .and_then(Value::as_str)
                        .unwrap_or_default();
                    if !technical.contains(&name) {
                        found.push(format!("the element `{name}`"));
                    }
                }
                value if is_blank(value) => {}
                _ => match kind.and_then(Value::as_str) {
                    // The reader lists files.
                    Some("file") if above == "credentials." => {}
                    Some(kind) if above == "credentials." => {
                        found.push(format!("`{key}` of the credential of type `{kind}`"));
                    }
                    _ => found.push(format!("the member `{path}`")),
                },
            }
        }
    }
}

/// Whether a value has no text and no number in it.
fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) => true,
        Value::Number(_) => false,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.iter().all(is_blank),
        Value::Object(object) => object.values().all(is_blank),
    }
}
