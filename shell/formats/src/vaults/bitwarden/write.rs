//! From items to the file.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use keyshell_base::time::iso;
use serde::Serialize;
use serde_json::{Map, Value, json};
use shared::secret::SecretWriter;
use uuid::Builder;

use super::history::Outgoing;
use super::read::{self, Collections};
use super::schema::{AGREED, Custom, Entry, Folder, Login, NESTED, PASSKEY, Uri};
use super::{foreign, passkey};
use crate::capabilities::Capabilities;
use crate::format::{FormatError, Written};
use crate::model::item::{FAVOURITE, Item, ItemVersion, Loss, TEXT};
use crate::model::record::{Field, Record, field};
use crate::names;
use crate::round_trip::{self, BITWARDEN, COPY, ExactCopy};

const CAPABILITIES: Capabilities = Capabilities {
    customs: true,
    // Tags that are no collections are listed by `lost_tags`.
    tags: true,
    binary: true,
    // Versions that differ in more than the password are listed by `history`.
    history: true,
    ..Capabilities::NONE
};

#[derive(Serialize)]
struct Document {
    encrypted: bool,
    folders: Vec<Folder>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    collections: Vec<Value>,
    items: Vec<Entry>,
}

/// Writes a plain file.
///
/// # Errors
/// [`FormatError`]; there is none in memory.
pub fn all(items: &[Item]) -> Result<(Written, Vec<Loss>), FormatError> {
    let mut losses = Vec::new();
    let mut folders = BTreeMap::new();
    let mut collections = BTreeMap::new();
    let mut entries = Vec::new();
    for item in items {
        losses.extend(CAPABILITIES.losses(item));
        let own = collections_of(item);
        losses.extend(lost_tags(item, &own));
        let own = by_id(own);
        let mut entry = composed(item, &own, &mut losses);
        let (folder, _) = item.path();
        entry.folder_id = folder.map(|name| {
            let id = folders.entry(name.to_owned());
            id.or_insert_with_key(|name| id_of("folder", name)).clone()
        });
        entries.push(entry);
        // A collection of which only the id is known was not listed in the file.
        let is_listed = |one: &Value| one.as_object().is_some_and(|map| map.len() > 1);
        collections.extend(own.into_iter().filter(|(_, one)| is_listed(one)));
    }
    let folders = folders.into_iter().map(|(name, id)| Folder {
        id,
        name: Some(name),
    });
    let document = Document {
        encrypted: false,
        folders: folders.collect(),
        collections: collections.into_values().collect(),
        items: entries,
    };
    let mut writer = SecretWriter::default();
    serde_json::to_writer_pretty(&mut writer, &document).map_err(FormatError::library)?;
    Ok((Written::File(writer.finish()), losses))
}

/// A UUID that is the same for the same name, so that two exports can be compared.
pub fn id_of(what: &str, name: &str) -> String {
    let id = round_trip::stable_id(&format!("keyshell {what} {name}"));
    Builder::from_random_bytes(id).into_uuid().to_string()
}

/// The collections that an item was imported from, if their names are still among its tags.
fn collections_of(item: &Item) -> Vec<Value> {
    let kept = round_trip::foreign_members(item, BITWARDEN).remove(foreign::COLLECTIONS);
    let mut collections = round_trip::list(kept);
    collections.retain(|collection| {
        let name = name_of(collection).unwrap_or_default();
        let is_there = name.is_empty() || item.tags.iter().any(|tag| tag == name);
        is_there && id_in(collection).is_some()
    });
    collections
}

fn name_of(collection: &Value) -> Option<&str> {
    collection.get("name")?.as_str()
}

fn id_in(collection: &Value) -> Option<String> {
    Some(collection.get("id")?.as_str()?.to_owned())
}

fn by_id(collections: Vec<Value>) -> Collections {
    let with_id = |collection: Value| Some((id_in(&collection)?, collection));
    collections.into_iter().filter_map(with_id).collect()
}

fn lost_tags(item: &Item, collections: &[Value]) -> Vec<Loss> {
    let is_carried = |tag: &str| {
        let mut names = collections.iter().map(name_of);
        tag == FAVOURITE || names.any(|name| name == Some(tag))
    };
    let lost = item.tags.iter().filter(|tag| !is_carried(tag));
    lost.map(|tag| Loss::new(&item.name, format!("the tag `{tag}`")))
        .collect()
}

/// An item, with its exact copy where Bitwarden's members do not state it.
fn composed(item: &Item, collections: &Collections, losses: &mut Vec<Loss>) -> Entry {
    let mut entry = compose(item, losses);
    let (folder, _) = item.path();
    let times = Outgoing::of(item, entry.kind).times(item);
    let again = read::item(entry.clone(), folder.unwrap_or_default(), collections);
    let versions = again.versions.iter().map(|version| &version.created_ms);
    let comes_back = item.has_value_of(&again)
        && item.kept.get(BITWARDEN) == again.kept.get(BITWARDEN)
        && versions.eq(&times);
    if !comes_back {
        let mut copy = ExactCopy::of(item);
        copy.members.insert("times".into(), json!(times));
        entry.rest.insert(COPY.into(), json!(copy));
    }
    entry
}

/// An item without its folder and without the exact copy.
pub fn compose(item: &Item, losses: &mut Vec<Loss>) -> Entry {
    let (_, name) = item.path();
    let mut entry = Entry {
        name: Some(names::title(name)),
        favorite: item.is_favourite(),
        revision_date: item.newest().and_then(|newest| newest.created_ms.map(iso)),
        ..Entry::default()
    };
    let mut kept = round_trip::foreign_members(item, BITWARDEN);
    let mut take = |key: &str| round_trip::text(kept.remove(key)?);
    entry.id = Some(take(foreign::ID).unwrap_or_else(|| id_of("item", &item.name)));
    let created = take(foreign::CREATED);
    kept.remove(foreign::UNTIL);
    kept.remove(foreign::COLLECTIONS);
    entry.rest = kept;
    match item.as_record() {
        Some(record) => {
            for field in record.fields.iter().filter(|field| field.section.is_some()) {
                let what = format!("the heading above the field `{}`", field.name);
                losses.push(Loss::new(&item.name, what));
            }
            let lost = fill(&mut entry, record);
            losses.extend(lost.into_iter().map(|what| Loss::new(&item.name, what)));
        }
        None => fill_plain(&mut entry, item),
    }
    let past = Outgoing::of(item, entry.kind);
    let first = past.times(item).into_iter().flatten().next();
    entry.creation_date = created.or_else(|| first.map(iso));
    losses.extend(past.losses.iter().map(|what| Loss::new(&item.name, what)));
    entry.password_history = past.written();
    let ids: Vec<_> = collections_of(item)
        .iter()
        .filter_map(id_in)
        .map(Some)
        .collect();
    entry.collection_ids = (!ids.is_empty()).then_some(ids);
    for (key, usual) in [
        ("organizationId", Value::Null),
        ("reprompt", Value::from(0)),
    ] {
        entry.rest.entry(key).or_insert(usual);
    }
    entry
}

/// A value without fields as text; base64 where it is none.
fn text_of(version: &ItemVersion) -> String {
    let bytes = version.value.expose();
    let text = std::str::from_utf8(bytes).map(str::to_owned);
    text.unwrap_or_else(|_| BASE64.encode(bytes))
}

/// Text of several lines is a note; anything shorter a login's password.
fn fill_plain(entry: &mut Entry, item: &Item) {
    let newest = item.newest().map(text_of).unwrap_or_default();
    if item.content_type.as_deref() == Some(TEXT) || newest.contains('\n') {
        entry.kind = Entry::NOTE;
        entry.notes = Some(newest);
        entry
            .rest
            .entry("secureNote")
            .or_insert_with(|| json!({"type": 0}));
        return;
    }
    entry.kind = Entry::LOGIN;
    entry.login = Some(Login {
        uris: Some(Vec::new()),
        password: Some(newest),
        ..Login::default()
    });
}

/// Fills in the fields, and returns the parts that are lost.
fn fill(entry: &mut Entry, record: Record) -> Vec<String> {
    let nested = NESTED.iter().find(|(_, kind, _)| *kind == record.kind);
    entry.kind = match (record.kind.as_str(), nested) {
        ("login" | "passkey" | "totp", _) => Entry::LOGIN,
        (_, Some((number, _, _))) => *number,
        (other, None) => {
            let own = other.strip_prefix("bitwarden-");
            own.and_then(|own| own.parse().ok()).unwrap_or(Entry::NOTE)
        }
    };
    let notes: Vec<&str> = record.all(field::NOTE).collect();
    entry.notes = (!notes.is_empty()).then(|| notes.join("\n\n"));
    let mut login = LoginBuilder {
        login: Login {
            uris: Some(Vec::new()),
            ..Login::default()
        },
        created: entry.revision_date.clone(),
        lost: Vec::new(),
    };
    let (mut customs, mut map) = (Vec::new(), Map::new());
    for field in record.fields {
        let placed = match entry.kind {
            Entry::LOGIN if !field.custom => login.place(field),
            _ => match nested {
                Some((_, kind, _)) if !field.custom => place_in_map(&mut map, kind, field),
                _ => Some(field),
            },
        };
        customs.extend(placed.filter(|field| field.custom || field.name != field::NOTE));
    }
    let customs: Vec<Custom> = customs.into_iter().map(custom).collect();
    entry.fields = (!customs.is_empty()).then_some(customs);
    let mut rest = |member: &str| round_trip::object(entry.rest.remove(member));
    match entry.kind {
        Entry::LOGIN => {
            login.login.rest.extend(rest("login"));
            entry.login = Some(login.login);
        }
        Entry::NOTE => {
            entry
                .rest
                .entry("secureNote")
                .or_insert_with(|| json!({"type": 0}));
        }
        _ => {
            if let Some((_, _, member)) = nested {
                let map = with_rest(map, rest(member));
                entry.rest.insert((*member).into(), map.into());
            }
        }
    }
    login.lost
}

/// Members that have no field; those of an expiry only say how it is written.
fn with_rest(mut map: Map<String, Value>, rest: Map<String, Value>) -> Map<String, Value> {
    let number = |value: &Value| match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    };
    for (key, value) in rest {
        if matches!(&*key, "expYear" | "expMonth") {
            let own = map.get_mut(&key);
            if let Some(own) = own.filter(|own| number(own) == number(&value)) {
                *own = value;
            }
        } else {
            map.entry(key).or_insert(value);
        }
    }
    map
}

/// A login that fields are put into.
struct LoginBuilder {
    login: Login,
    /// The time of creation of the item.
    created: Option<String>,
    /// Members that the login cannot carry.
    lost: Vec<String>,
}

impl LoginBuilder {
    /// Puts a field into the login; returns a field that becomes a field of the owner.
    fn place(&mut self, own: Field) -> Option<Field> {
        let free = |slot: &mut Option<String>, own: Field| {
            if slot.is_some() {
                return Some(own);
            }
            *slot = Some(own.value);
            None
        };
        match own.name.as_str() {
            field::USERNAME => free(&mut self.login.username, own),
            field::PASSWORD => free(&mut self.login.password, own),
            field::TOTP => free(&mut self.login.totp, own),
            field::URL => {
                self.login.uris.get_or_insert_default().push(Uri {
                    uri: Some(own.value),
                    rest: round_trip::unprefixed(BITWARDEN, own.other),
                });
                None
            }
            PASSKEY => match serde_json::from_str(&own.value) {
                Ok(passkey) => {
                    self.login.passkeys.get_or_insert_default().push(passkey);
                    None
                }
                Err(_) => Some(own),
            },
            field::PASSKEY => {
                let Some((passkey, lost)) = passkey::bitwarden(&own, self.created.as_deref())
                else {
                    return Some(own);
                };
                self.login.passkeys.get_or_insert_default().push(passkey);
                let lost = lost.iter().map(|name| format!("`{name}` of the passkey"));
                self.lost.extend(lost);
                None
            }
            _ => Some(own),
        }
    }
}

/// Fields that Bitwarden knows of a kind whose fields are in an object.
fn place_in_map(map: &mut Map<String, Value>, kind: &str, own: Field) -> Option<Field> {
    if kind == "card"
        && own.name == field::EXPIRY
        && let Some((year, month)) = expiry(&own.value)
        && !map.contains_key("expYear")
        && !map.contains_key("expMonth")
    {
        map.insert("expYear".into(), year.into());
        map.insert("expMonth".into(), month.into());
        return None;
    }
    let agreed = AGREED
        .iter()
        .find(|(of, _, agreed)| *of == kind && *agreed == own.name)
        .map(|(_, key, _)| *key);
    let own_name = own.name.as_str();
    let key = agreed.or_else(|| read::own_field(kind, own_name).map(|_| own_name));
    match key {
        Some(key) if !map.contains_key(key) => {
            map.insert(key.to_owned(), own.value.into());
            None
        }
        _ => Some(own),
    }
}

/// Year and month of `YYYY-MM`.
fn expiry(text: &str) -> Option<(&str, &str)> {
    let (year, month) = text.split_once('-')?;
    let digits =
        |text: &str, len| text.len() == len && text.bytes().all(|byte| byte.is_ascii_digit());
    (digits(year, 4) && digits(month, 2)).then(|| (year, month.trim_start_matches('0')))
}

fn custom(field: Field) -> Custom {
    let prefix = format!("{BITWARDEN}-");
    let kind = match field.content.as_deref() {
        Some("bool") => 2,
        Some("linked") => 3,
        Some(other) => {
            let own = other.strip_prefix(&prefix);
            own.and_then(|own| own.parse().ok()).unwrap_or(0)
        }
        None if field.hidden => 1,
        None => 0,
    };
    Custom {
        name: Some(field.name),
        value: (kind != 3).then_some(field.value),
        kind,
        rest: field.other,
    }
}
