//! Items on their way in.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::shape::{AGREED, Custom, Entry, Folder, Former, Login};
use super::{NAME, PASSKEY};
use crate::formats::item::{Item, ItemVersion, Loss};
use crate::formats::json_walk::each;
use crate::formats::record::{Field, Record, field};
use crate::formats::source::Source;
use crate::formats::{FormatError, Incoming, names};
use crate::time::from_iso;

/// Takes what is read.
type Sink<'a> = dyn FnMut(Incoming) -> Result<(), FormatError> + 'a;

/// Reads a plain file.
///
/// # Errors
/// [`FormatError`]: it is sealed after all, or of another shape; those of `sink`.
pub fn all(source: &Source, sink: &mut Sink<'_>) -> Result<(), FormatError> {
    each(source.reader()?, &["encrypted"], &mut |sealed: bool| {
        if sealed {
            let text = "it is sealed with the key of a Bitwarden account, which only Bitwarden has: export it anew, \
                        with a password or as plain JSON";
            return Err(FormatError::new(text));
        }
        Ok(())
    })?;
    let folders = folders(source, "folders")?;
    let collections = folders_of_organisation(source)?;
    each(source.reader()?, &["items", "*"], &mut |entry: Entry| {
        sink(item(entry, &folders, &collections))
    })
}

fn folders(source: &Source, key: &str) -> Result<HashMap<String, String>, FormatError> {
    let mut folders = HashMap::new();
    each(source.reader()?, &[key, "*"], &mut |folder: Folder| {
        folders.insert(folder.id, folder.name.unwrap_or_default());
        Ok(())
    })?;
    Ok(folders)
}

fn folders_of_organisation(source: &Source) -> Result<HashMap<String, String>, FormatError> {
    folders(source, "collections")
}

fn item(
    mut entry: Entry,
    folders: &HashMap<String, String>,
    collections: &HashMap<String, String>,
) -> Incoming {
    let folder = entry.folder_id.take().and_then(|id| folders.get(&id));
    let folder = folder.map_or("", String::as_str);
    let name = names::joined(folder, entry.name.as_deref().unwrap_or_default());
    if entry.deleted_date.is_some() {
        return Incoming::Lost(Loss::new(name, "it is in the trash"));
    }
    let losses = losses(&entry);
    let tags = entry.collection_ids.take().unwrap_or_default().into_iter();
    let tags: Vec<String> = tags
        .filter_map(|id| collections.get(&id).cloned())
        .collect();
    let is_favourite = entry.favorite;
    let created = time(entry.creation_date.as_deref());
    let modified = time(entry.revision_date.as_deref()).or(created);
    let history = entry.password_history.take().unwrap_or_default();
    let bare_note = bare_note(&entry);
    let mut item = match bare_note {
        Some(text) => Item::text(name, &text, modified),
        None => Item::record(name, &record(entry), modified),
    };
    item.losses = losses;
    add_history(&mut item, history);
    item.tags = tags;
    if is_favourite {
        item.mark_favourite();
    }
    Incoming::Item(Box::new(item))
}

/// What an export without files says of them.
fn losses(entry: &Entry) -> Vec<String> {
    let attachments = entry.rest.get("attachments").and_then(Value::as_array);
    let attachments = attachments.into_iter().flatten();
    let named = attachments.map(|one| {
        let name = one.get("fileName").and_then(Value::as_str);
        format!(
            "the attachment `{}`, which is not in the file",
            name.unwrap_or("?")
        )
    });
    named.collect()
}

/// A note that is nothing but text.
fn bare_note(entry: &Entry) -> Option<String> {
    let is_bare = entry.kind == 2 && entry.fields.as_ref().is_none_or(Vec::is_empty);
    let rest = entry
        .rest
        .iter()
        .filter(|(key, value)| !is_usual(key, value));
    (is_bare && rest.count() == 0).then(|| entry.notes.clone().unwrap_or_default())
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

fn record(entry: Entry) -> Record {
    let kind = match entry.kind {
        1 => "login".to_owned(),
        2 => "note".to_owned(),
        3 => "card".to_owned(),
        4 => "identity".to_owned(),
        5 => "ssh-key".to_owned(),
        other => format!("bitwarden-{other}"),
    };
    let mut record = Record::new(&kind);
    let mut kept: Map<String, Value> = entry.rest;
    kept.retain(|key, value| !is_usual(key, value));
    if let Some(login) = entry.login {
        fill_login(&mut record, login, &mut kept);
    }
    for map in [entry.card, entry.identity, entry.ssh_key]
        .into_iter()
        .flatten()
    {
        fill(&mut record, &kind, map);
    }
    record.push(field::NOTE, entry.notes.unwrap_or_default());
    for custom in entry.fields.unwrap_or_default() {
        record.fields.push(custom_field(custom));
    }
    record.keep(NAME, kept);
    record
}

fn fill_login(record: &mut Record, login: Login, kept: &mut Map<String, Value>) {
    record.push(field::USERNAME, login.username.unwrap_or_default());
    record.push(field::PASSWORD, login.password.unwrap_or_default());
    for uri in login.uris.unwrap_or_default() {
        let Some(address) = uri.uri.filter(|uri| !uri.is_empty()) else {
            continue;
        };
        let mut other = uri.rest;
        other.retain(|_, value| !value.is_null());
        record.fields.push(Field {
            name: field::URL.into(),
            value: address,
            other: other
                .into_iter()
                .map(|(key, value)| (format!("{NAME}-{key}"), value))
                .collect(),
            ..Field::default()
        });
    }
    record.push(field::TOTP, login.totp.unwrap_or_default());
    for passkey in login.passkeys.unwrap_or_default() {
        record.fields.push(Field {
            name: PASSKEY.into(),
            value: passkey.to_string(),
            hidden: true,
            ..Field::default()
        });
    }
    let mut rest = login.rest;
    rest.retain(|_, value| !value.is_null());
    if !rest.is_empty() {
        kept.insert("login".into(), Value::Object(rest));
    }
}

fn fill(record: &mut Record, kind: &str, mut map: Map<String, Value>) {
    let year = map.remove("expYear");
    let month = map.remove("expMonth");
    for (key, value) in map {
        let text = match value {
            Value::Null => continue,
            Value::String(text) => text,
            other => other.to_string(),
        };
        let agreed = AGREED
            .iter()
            .find(|(of, own, _)| *of == kind && *own == key);
        match agreed {
            Some((_, _, agreed)) => record.push(agreed, text),
            None if !text.is_empty() => record.fields.push(Field {
                name: key,
                value: text,
                ..Field::default()
            }),
            None => {}
        }
    }
    let text = |value: Option<Value>| value.and_then(|value| value.as_str().map(str::to_owned));
    match (text(year), text(month)) {
        (Some(year), Some(month)) if !year.is_empty() && !month.is_empty() => {
            record.push(field::EXPIRY, format!("{year}-{month:0>2}"));
        }
        (year, month) => {
            for (name, value) in [("expYear", year), ("expMonth", month)] {
                if let Some(value) = value.filter(|value| !value.is_empty()) {
                    record.fields.push(Field {
                        name: name.into(),
                        value,
                        ..Field::default()
                    });
                }
            }
        }
    }
}

fn custom_field(custom: Custom) -> Field {
    let content = match custom.kind {
        0 | 1 => None,
        2 => Some("bool".to_owned()),
        3 => Some("linked".to_owned()),
        other => Some(format!("{NAME}-{other}")),
    };
    let mut other = custom.rest;
    other.retain(|_, value| !value.is_null());
    Field {
        content,
        other,
        ..Field::custom(
            custom.name.unwrap_or_default(),
            custom.value.unwrap_or_default(),
            custom.kind == 1,
        )
    }
}

/// Earlier passwords are earlier versions of the item.
fn add_history(item: &mut Item, history: Vec<Former>) {
    let Some(newest) = item.as_record() else {
        return;
    };
    if newest.kind != "login" {
        if !history.is_empty() {
            let what = format!("{} earlier values of hidden fields", history.len());
            item.losses.push(what);
        }
        return;
    }
    // The file has the newest first.
    let mut versions: Vec<ItemVersion> = history
        .into_iter()
        .rev()
        .filter_map(|former| {
            let mut record = newest.clone();
            record.set(field::PASSWORD, former.password?);
            Some(ItemVersion {
                created_ms: time(former.last_used_date.as_deref()),
                value: record.encode(),
            })
        })
        .collect();
    versions.sort_by_key(|version| version.created_ms);
    versions.append(&mut item.versions);
    item.versions = versions;
}

fn time(text: Option<&str>) -> Option<u64> {
    from_iso(text?)
}
