//! From the file to items.

use std::collections::HashMap;

use keyshell_base::time::{from_iso, iso};
use serde::Deserialize as _;
use serde_json::{Map, Value, json};
use shared::secret::SecretBytes;

use super::foreign::{self, Usual};
use super::schema::{AGREED, Custom, Entry, Folder, Login, NESTED, OWN};
use super::{history, passkey, write};
use crate::format::{FormatError, Incoming, Sink, Source};
use crate::input::json_stream::each;
use crate::model::item::{Item, ItemVersion, Loss};
use crate::model::record::{Field, Record, field};
use crate::names;
use crate::round_trip::{self, BITWARDEN, COPY, ExactCopy};

/// The error for files that are encrypted with the key of an account.
pub const ACCOUNT_KEY: &str = "the file is encrypted with the key of a Bitwarden account, which only Bitwarden has: \
                               export it again, with a password or as plain JSON";

/// Collections by their ids, each as the file lists it.
pub type Collections = HashMap<String, Value>;

/// Reads a plain file.
///
/// # Errors
/// [`FormatError`]: it is sealed after all, or of another shape; those of `sink`.
pub fn all(source: &Source, sink: &mut Sink<'_>) -> Result<(), FormatError> {
    each(source.text()?, &["encrypted"], &mut |sealed: bool| {
        if sealed {
            return Err(FormatError::unsupported(ACCOUNT_KEY));
        }
        Ok(())
    })?;
    let mut folders = HashMap::new();
    each(source.text()?, &["folders", "*"], &mut |folder: Folder| {
        folders.insert(folder.id, folder.name.unwrap_or_default());
        Ok(())
    })?;
    let mut collections = Collections::new();
    each(
        source.text()?,
        &["collections", "*"],
        &mut |collection: Value| {
            if let Some(id) = collection.get("id").and_then(Value::as_str) {
                collections.insert(id.to_owned(), collection);
            }
            Ok(())
        },
    )?;
    each(source.text()?, &["items", "*"], &mut |mut entry: Entry| {
        let folder = entry.folder_id.take().and_then(|id| folders.get(&id));
        let folder = folder.map_or("", String::as_str);
        if entry.deleted_date.is_some() {
            let name = names::joined(folder, entry.name.as_deref().unwrap_or_default());
            return sink(Incoming::Lost(Loss::new(name, "it is in the trash")));
        }
        sink(Incoming::Item(Box::new(item(entry, folder, &collections))))
    })
}

/// An item of a folder.
pub fn item(mut entry: Entry, folder: &str, collections: &Collections) -> Item {
    for (_, _, member) in NESTED {
        if entry.rest.get(member).is_some_and(Value::is_null) {
            entry.rest.remove(member);
        }
    }
    let copy = entry.rest.remove(COPY);
    let exact = copy.and_then(|copy| exact(&entry, folder, collections, &copy));
    exact.unwrap_or_else(|| plain(entry, folder, collections))
}

/// The item of the exact copy, if the rest is as composed from it.
fn exact(entry: &Entry, folder: &str, collections: &Collections, copy: &Value) -> Option<Item> {
    let copy = ExactCopy::deserialize(copy).ok()?;
    let times: Vec<Option<u64>> = copy.member("times")?;
    let mut item = Item {
        name: names::joined(folder, entry.name.as_deref().unwrap_or_default()),
        content_type: copy.content_type,
        versions: vec![ItemVersion {
            created_ms: *times.last()?,
            value: copy.value.0,
        }],
        ..Item::default()
    };
    let newest = item.as_record();
    let history = entry.password_history.iter().flatten().rev();
    let formers = history.zip(&times).map(|(former, created_ms)| {
        let password = former.password.as_deref()?;
        let value = match &newest {
            Some(newest) => history::with_password(newest, password),
            None => SecretBytes::from(password.as_bytes()),
        };
        let created_ms = *created_ms;
        Some(ItemVersion { created_ms, value })
    });
    let formers: Option<Vec<ItemVersion>> = formers.collect();
    item.versions.splice(..0, formers?);
    let in_collections = collections_of(entry, collections);
    tag(&mut item, entry, &in_collections);
    if newest.is_none() {
        let usual = usual(&item.name, times.iter().flatten().next().copied());
        let members = foreign::of(entry, in_collections, &usual);
        round_trip::keep_in_metadata(&mut item, BITWARDEN, &members);
    }
    round_trip::accept(item, &json!(entry), |item| {
        json!(write::compose(item, &mut Vec::new()))
    })
}

/// The values that our export writes for an item of this name and this time of its first version.
fn usual(name: &str, first: Option<u64>) -> Usual {
    Usual {
        id: write::id_of("item", name),
        created: first.map(iso),
    }
}

fn collections_of(entry: &Entry, collections: &Collections) -> Vec<Value> {
    let ids = entry.collection_ids.iter().flatten().flatten();
    let known = ids.map(|id| {
        let known = collections.get(id).cloned();
        known.unwrap_or_else(|| json!({"id": id}))
    });
    known.collect()
}

/// Tags from the names of collections, and the favourites'.
fn tag(item: &mut Item, entry: &Entry, collections: &[Value]) {
    for collection in collections {
        let name = collection.get("name").and_then(Value::as_str);
        if let Some(name) = name.filter(|name| !name.is_empty())
            && !item.tags.iter().any(|tag| tag == name)
        {
            item.tags.push(name.to_owned());
        }
    }
    if entry.favorite {
        item.mark_favourite();
    }
}

fn plain(mut entry: Entry, folder: &str, collections: &Collections) -> Item {
    let name = names::joined(folder, entry.name.as_deref().unwrap_or_default());
    let mut losses = losses(&entry);
    let mut former = entry.password_history.take().unwrap_or_default();
    if entry.kind != Entry::LOGIN && !former.is_empty() {
        losses.push(format!("{} earlier values of hidden fields", former.len()));
        former.clear();
    }
    let created = entry.creation_date.as_deref().and_then(from_iso);
    let modified = entry.revision_date.as_deref().and_then(from_iso);
    let modified = modified.or(created);
    let past = history::Incoming::of(former, created);
    let usual = usual(&name, past.versions.first().map_or(modified, |(at, _)| *at));
    let in_collections = collections_of(&entry, collections);
    let mut tagged = Item::default();
    tag(&mut tagged, &entry, &in_collections);
    let mut kept = foreign::of(&entry, in_collections, &usual);
    if let Some(until) = past
        .until
        .filter(|until| Some(until) != modified.map(iso).as_ref())
    {
        kept.insert(foreign::UNTIL.into(), until.into());
    }
    let mut item = if is_bare_note(&entry) && round_trip::fits_in_metadata(&kept) {
        let mut item = Item::text(name, entry.notes.as_deref().unwrap_or_default(), modified);
        round_trip::keep_in_metadata(&mut item, BITWARDEN, &kept);
        item
    } else {
        let record = record(entry, kept);
        let formers = past
            .versions
            .into_iter()
            .map(|(created_ms, password)| ItemVersion {
                created_ms,
                value: history::with_password(&record, &password),
            });
        let formers: Vec<_> = formers.collect();
        let mut item = Item::record(name, &record, modified);
        item.versions.splice(..0, formers);
        item
    };
    item.tags = tagged.tags;
    item.losses = losses;
    item
}

/// Attachments, of which the file has only the names.
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

fn is_bare_note(entry: &Entry) -> bool {
    let mut nested = NESTED.iter().map(|(_, _, member)| entry.rest.get(*member));
    entry.kind == Entry::NOTE
        && entry.fields.as_ref().is_none_or(Vec::is_empty)
        && entry.login.is_none()
        && nested.all(|nested| nested.is_none())
}

fn record(entry: Entry, mut kept: Map<String, Value>) -> Record {
    let nested = NESTED.iter().find(|(number, _, _)| *number == entry.kind);
    let kind = match (entry.kind, nested) {
        (Entry::LOGIN, _) => "login".to_owned(),
        (Entry::NOTE, _) => "note".to_owned(),
        (_, Some((_, kind, _))) => (*kind).to_owned(),
        (other, None) => format!("bitwarden-{other}"),
    };
    let mut record = Record::new(&kind);
    match entry.login {
        Some(login) if entry.kind == Entry::LOGIN => fill_login(&mut record, login, &mut kept),
        // An item of another kind has no fields of a login.
        Some(login) => _ = kept.insert("login".into(), json!(login)),
        None => {}
    }
    if let Some((_, _, member)) = nested {
        let mut map = round_trip::object(kept.remove(*member));
        fill(&mut record, &kind, &mut map);
        if !map.is_empty() {
            kept.insert((*member).into(), map.into());
        }
    }
    record.push(field::NOTE, entry.notes.unwrap_or_default());
    for custom in entry.fields.unwrap_or_default() {
        record.fields.push(custom_field(custom));
    }
    record.keep(BITWARDEN, kept);
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
            other: round_trip::prefixed(BITWARDEN, other),
            ..Field::named(field::URL, address, false)
        });
    }
    record.push(field::TOTP, login.totp.unwrap_or_default());
    let passkeys = login.passkeys.unwrap_or_default();
    record.fields.extend(passkeys.iter().map(passkey::field));
    let mut rest = login.rest;
    rest.retain(|_, value| !value.is_null());
    if !rest.is_empty() {
        kept.insert("login".into(), Value::Object(rest));
    }
}

/// Moves members of a map to fields.
fn fill(record: &mut Record, kind: &str, map: &mut Map<String, Value>) {
    map.retain(|_, value| !value.is_null() && value.as_str() != Some(""));
    let expiry = if kind == "card" {
        fill_expiry(record, map)
    } else {
        Map::new()
    };
    map.retain(|key, value| {
        let Some(text) = value.as_str() else {
            return true;
        };
        let agreed = AGREED
            .iter()
            .find(|(of, own, _)| *of == kind && *own == key);
        match agreed {
            Some((_, _, agreed)) => record.push(agreed, text),
            None => match own_field(kind, key) {
                Some((_, _, hidden)) => record.fields.push(Field::named(key, text, *hidden)),
                None => return true,
            },
        }
        false
    });
    map.extend(expiry);
}

/// The field that a member with its own name is.
pub fn own_field(kind: &str, member: &str) -> Option<&'static (&'static str, &'static str, bool)> {
    OWN.iter()
        .find(|(of, own, _)| *of == kind && *own == member)
}

/// Takes year and month as one field, where they are such; also returns them where they are not written as Bitwarden does.
fn fill_expiry(record: &mut Record, map: &mut Map<String, Value>) -> Map<String, Value> {
    let text = |key: &str| match map.get(key)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let digits = |text: &String| text.bytes().all(|byte| byte.is_ascii_digit());
    let year = text("expYear").filter(|year| year.len() == 4 && digits(year));
    let month = text("expMonth").filter(|month| month.len() <= 2 && digits(month));
    let number = month.and_then(|month| month.parse::<u8>().ok());
    let number = number.filter(|number| (1..=12).contains(number));
    let (Some(year), Some(number)) = (year, number) else {
        return Map::new();
    };
    record.push(field::EXPIRY, format!("{year}-{number:02}"));
    let usual = [("expYear", year), ("expMonth", number.to_string())];
    let given = usual.into_iter().filter_map(|(key, usual)| {
        let given = map.remove(key)?;
        (given.as_str() != Some(&usual)).then(|| (key.to_owned(), given))
    });
    given.collect()
}

fn custom_field(custom: Custom) -> Field {
    let content = match custom.kind {
        0 | 1 => None,
        2 => Some("bool".to_owned()),
        3 => Some("linked".to_owned()),
        other => Some(format!("{BITWARDEN}-{other}")),
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
