//! From items to the file.

use std::collections::{HashMap, VecDeque};

use data_encoding::{BASE64, BASE64URL_NOPAD};
use keyshell_base::time;
use serde_json::{Map, Value, json};
use shared::secret::SecretWriter;

use super::credential_types::{self, Shape, Type};
use super::{composite, read};
use crate::capabilities::Capabilities;
use crate::folders::Folder;
use crate::format::{FormatError, Written};
use crate::model::item::{FAVOURITE, Item, Loss};
use crate::model::record::{Field, Record, field};
use crate::names;
use crate::round_trip::{self, COPY, CXF, ExactCopy, stable_id};

const CAPABILITIES: Capabilities = Capabilities {
    customs: true,
    tags: true,
    note: true,
    binary: true,
    ..Capabilities::NONE
};

/// Writes all items.
///
/// # Errors
/// Errors of encoding; writing to memory has none.
pub fn all(items: &[Item]) -> Result<(Written, Vec<Loss>), FormatError> {
    let mut losses = Vec::new();
    let mut folders = Folder::default();
    let mut written = Vec::with_capacity(items.len());
    for item in items {
        let composed = composed(item);
        let id = composed.get("id").and_then(Value::as_str);
        if let (Some(folder), _) = item.path() {
            let ids = &mut folders.at(Some(folder)).items;
            ids.push(id.unwrap_or_default().to_owned());
        }
        losses.extend(CAPABILITIES.losses(item));
        written.push(Value::Object(composed));
    }
    let document = json!({
        "version": {"major": 1, "minor": 0},
        "exporterRpId": "keyshell",
        "exporterDisplayName": "keyshell",
        "timestamp": time::now_ms() / 1000,
        "accounts": [{
            "id": id_of("account"), "username": "", "email": "",
            "collections": collections(&folders, ""), "items": written,
        }],
    });
    let mut writer = SecretWriter::default();
    serde_json::to_writer(&mut writer, &document).map_err(FormatError::library)?;
    Ok((Written::File(writer.finish()), losses))
}

/// The collections of the folders in a folder. The recursion is as deep as names have components: at most 127 levels.
fn collections(folder: &Folder<String>, above: &str) -> Vec<Value> {
    let collection = |(name, folder): (&String, &Folder<String>)| {
        let path = format!("{above}/{name}");
        let items = folder.items.iter().map(|id| json!({"item": id}));
        let mut collection = json!({
            "id": id_of(&path), "title": names::title(name), "items": items.collect::<Vec<_>>(),
        });
        let inner = collections(folder, &path);
        if !inner.is_empty()
            && let Some(collection) = collection.as_object_mut()
        {
            collection.insert("subCollections".into(), inner.into());
        }
        collection
    };
    folder.folders.iter().map(collection).collect()
}

fn id_of(name: &str) -> String {
    BASE64URL_NOPAD.encode(&stable_id(name))
}

/// The title of the item of this name.
pub fn title(name: &str) -> String {
    let own = name.rsplit_once('/').map_or(name, |(_, own)| own);
    names::title(own)
}

/// An item, with its exact copy where CXF's members do not state it.
fn composed(item: &Item) -> Map<String, Value> {
    let folder = item.path().0.unwrap_or_default();
    let comes_back = |plain: &Map<String, Value>| {
        let again = read::item_in(folder, plain);
        item.has_value_of(&again) && item.note == again.note
    };
    let mut entry = compose(item);
    if !comes_back(&entry) {
        let mut copy = ExactCopy::of(item);
        copy.note.clone_from(&item.note);
        copy.members.insert("name".into(), COPY.into());
        let extensions = entry.entry("extensions").or_insert_with(|| json!([]));
        if let Some(extensions) = extensions.as_array_mut() {
            extensions.push(json!(copy));
        }
    }
    entry
}

/// An item without the exact copy.
pub fn compose(item: &Item) -> Map<String, Value> {
    let record = item.as_record();
    let members = round_trip::foreign_members(item, CXF);
    let mut kept = if record.is_some() {
        members
    } else {
        // The metadata of an item without fields hold its own members alone.
        let members = (!members.is_empty()).then_some(("item".to_owned(), members.into()));
        members.into_iter().collect()
    };
    let skeletons = round_trip::list(kept.remove("credentials"));
    let mut composed = round_trip::object(kept.remove("item"));
    let own_title = match composed.remove("title") {
        Some(Value::Array(pair)) if pair.get(1).and_then(Value::as_str) == Some(&item.name) => {
            pair.into_iter().next()
        }
        _ => None,
    };
    let own_title = own_title.unwrap_or_else(|| title(&item.name).into());
    composed.insert("title".into(), own_title);
    let id = composed.entry("id");
    id.or_insert_with(|| id_of(&item.name).into());
    let seconds = |ms: Option<u64>| ms.map(|ms| Value::from(ms / 1000));
    let first = item.versions.first();
    let first = first.and_then(|first| seconds(first.created_ms));
    let newest = item.newest().and_then(|newest| seconds(newest.created_ms));
    if let Some(first) = first {
        composed.entry("creationAt").or_insert(first);
    }
    composed.extend(newest.map(|newest| ("modifiedAt".to_owned(), newest)));
    let tags = item.tags.iter().filter(|tag| *tag != FAVOURITE);
    let tags: Vec<_> = tags.map(|tag| Value::from(tag.as_str())).collect();
    if !tags.is_empty() {
        composed.insert("tags".into(), tags.into());
    }
    if item.is_favourite() {
        composed.insert("favorite".into(), true.into());
    }
    let (mut credentials, urls) = match &record {
        Some(record) => credentials(record, skeletons),
        None => (vec![bare(item)], Vec::new()),
    };
    if !item.note.is_empty() {
        credentials.push(note(&item.note));
    }
    composed.insert("credentials".into(), credentials.into());
    add_scope(&mut composed, urls);
    composed
}

fn add_scope(composed: &mut Map<String, Value>, urls: Vec<Value>) {
    let was_there = composed.contains_key("scope");
    if urls.is_empty() && !was_there {
        return;
    }
    let apps = || json!({"androidApps": []});
    let scope = composed.entry("scope").or_insert_with(apps);
    if let Some(scope) = scope.as_object_mut() {
        scope.insert("urls".into(), urls.into());
    }
}

/// A value without fields: text as what it is, anything else as base64.
fn bare(item: &Item) -> Value {
    let value = item.newest().map(|newest| newest.value.expose());
    let value = value.unwrap_or_default();
    let password = match (std::str::from_utf8(value), &item.content_type) {
        (Ok(text), Some(kind)) if kind.starts_with("text/") => return note(text),
        (Ok(text), _) => text.to_owned(),
        (Err(_), _) => BASE64.encode(value),
    };
    json!({"type": credential_types::GENERATED, "password": password})
}

fn note(text: &str) -> Value {
    json!({"type": credential_types::NOTE, "content": {"fieldType": credential_types::STRING, "value": text}})
}

/// The credentials and the addresses of a record.
fn credentials(record: &Record, skeletons: Vec<Value>) -> (Vec<Value>, Vec<Value>) {
    let mut credentials = skeletons;
    let has_skeletons = !credentials.is_empty();
    let left = record.fields.iter();
    let left = left.filter(|field| put_back(field, &mut credentials).is_none());
    let mut left = Left::new(left.collect());
    let key_type = record.get("keyType");
    let mut types: Vec<&Type> = credential_types::TYPES.iter().collect();
    types.sort_by_key(|known| known.kind != record.kind);
    for known in types {
        let mut is_own = !has_skeletons && record.kind == known.kind;
        while let Some(credential) = claim(known, key_type, &mut left, is_own) {
            credentials.push(Value::Object(credential));
            is_own = false;
        }
    }
    let mut urls = Vec::new();
    while let Some(field) = left.take(field::URL) {
        urls.push(Value::from(field.value.as_str()));
    }
    credentials.extend(customs(left.fields.into_iter().flatten()));
    (credentials, urls)
}

/// Fields that are not yet in a credential.
struct Left<'a> {
    fields: Vec<Option<&'a Field>>,
    /// Places of those which are not of the owner's own, by their usual names: each is looked at once.
    places: HashMap<&'a str, VecDeque<usize>>,
}

impl<'a> Left<'a> {
    fn new(fields: Vec<&'a Field>) -> Self {
        let mut places: HashMap<_, VecDeque<_>> = HashMap::new();
        for (place, field) in fields.iter().enumerate() {
            if !field.custom {
                let name = credential_types::usual(&field.name);
                places.entry(name).or_default().push_back(place);
            }
        }
        let fields = fields.into_iter().map(Some).collect();
        Self { fields, places }
    }

    fn has(&self, name: &str) -> bool {
        let places = self.places.get(name);
        places.is_some_and(|places| !places.is_empty())
    }

    /// Takes the first field of this name.
    fn take(&mut self, name: &str) -> Option<&'a Field> {
        let place = self.places.get_mut(name)?.pop_front()?;
        self.fields.get_mut(place)?.take()
    }

    /// Takes the first field of this name that makes members; those before it never will.
    fn take_special(&mut self, name: &str, key_type: Option<&str>) -> Option<Map<String, Value>> {
        let places = self.places.get_mut(name)?;
        while let Some(place) = places.pop_front() {
            let field = self.fields.get_mut(place)?;
            if let Some(members) = special_members((*field)?, key_type) {
                *field = None;
                return Some(members);
            }
        }
        None
    }
}

/// Puts a field back into the credential it was read from; `None` if the credential is gone.
fn put_back(field: &Field, credentials: &mut [Value]) -> Option<()> {
    let link = field.other.get(CXF)?;
    let number = usize::try_from(link.get("in")?.as_u64()?).ok()?;
    let credential = credentials.get_mut(number)?.as_object_mut()?;
    let rest = link.get("rest")?;
    match link.get("as")?.as_str()? {
        "" => credential.extend(special_members(field, None)?),
        "fields" => {
            let mut back = rest.as_object()?.clone();
            back.insert("value".into(), field.value.as_str().into());
            if !field.name.is_empty() {
                back.insert("label".into(), field.name.as_str().into());
            }
            let fields = credential.get_mut("fields")?.as_array_mut()?;
            fields.push(Value::Object(back));
        }
        name => {
            let kind = credential.get("type")?.as_str()?;
            let mut members = credential_types::named(kind)?.members.iter();
            let shape = members.find(|known| known.name == name);
            let shape = shape.map_or(Shape::Text, |known| known.shape);
            let value = member(field, shape, rest);
            credential.insert(name.to_owned(), value);
        }
    }
    Some(())
}

/// A member with what else it said.
fn member(field: &Field, shape: Shape, rest: &Value) -> Value {
    let value = Value::from(field.value.as_str());
    let Shape::Editable(kind) = shape else {
        return value;
    };
    match rest {
        Value::Bool(_) => value,
        Value::Object(rest) => {
            let mut back = rest.clone();
            back.entry("fieldType").or_insert_with(|| kind.into());
            back.insert("value".into(), value);
            Value::Object(back)
        }
        _ => json!({"fieldType": kind, "value": value}),
    }
}

/// The members of a credential that is one field.
fn special_members(field: &Field, key_type: Option<&str>) -> Option<Map<String, Value>> {
    match field.name.as_str() {
        field::TOTP => composite::totp(&field.value),
        field::PASSKEY => composite::passkey(&field.value),
        field::PRIVATE_KEY => composite::ssh_key(&field.value, key_type),
        _ => None,
    }
}

/// The next credential of a type that the fields which are left make.
fn claim(
    known: &Type,
    key_type: Option<&str>,
    left: &mut Left<'_>,
    is_own: bool,
) -> Option<Map<String, Value>> {
    let mut credential = Map::new();
    let special = match known.name {
        credential_types::TOTP => Some(field::TOTP),
        credential_types::PASSKEY => Some(field::PASSKEY),
        credential_types::SSH_KEY => Some(field::PRIVATE_KEY),
        _ => None,
    };
    if let Some(name) = special {
        credential.extend(left.take_special(name, key_type)?);
        if known.name == credential_types::SSH_KEY {
            left.take("keyType");
        }
    } else {
        let mut members = known.members.iter();
        let is_told = members.any(|member| member.tells && left.has(member.field));
        let is_own = is_own && known.name != credential_types::GENERATED;
        if !is_told && !is_own {
            return None;
        }
    }
    for member in known.members {
        if let Some(field) = left.take(member.field) {
            let value = match member.shape {
                Shape::Text => field.value.as_str().into(),
                Shape::Editable(kind) => json!({"fieldType": kind, "value": field.value}),
            };
            credential.insert(member.name.into(), value);
        }
    }
    if credential.is_empty() {
        return None;
    }
    credential.insert("type".into(), known.name.into());
    Some(credential)
}

/// Fields without a place of their own, a credential for each run under one heading.
fn customs<'a>(fields: impl Iterator<Item = &'a Field>) -> Vec<Value> {
    let mut sections: Vec<(Option<&str>, Vec<Value>)> = Vec::new();
    for field in fields {
        let content = field.content.as_deref();
        let kind = match content.and_then(credential_types::editable) {
            _ if field.hidden => credential_types::CONCEALED,
            kind => kind.unwrap_or(credential_types::STRING),
        };
        let written = json!({"fieldType": kind, "value": field.value, "label": field.name});
        let section = field.section.as_deref();
        match sections.last_mut() {
            Some((last, fields)) if *last == section => fields.push(written),
            _ => sections.push((section, vec![written])),
        }
    }
    let credential = |(section, fields): (Option<&str>, Vec<Value>)| {
        let mut credential = json!({"type": credential_types::CUSTOM, "fields": fields});
        if let (Some(section), Some(map)) = (section, credential.as_object_mut()) {
            map.insert("label".into(), section.into());
        }
        credential
    };
    sections.into_iter().map(credential).collect()
}
