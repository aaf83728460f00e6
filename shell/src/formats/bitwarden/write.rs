//! Items on their way out.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use shared::secret::SecretWriter;

use super::shape::{AGREED, Custom, Entry, Folder, Former, Login, Uri};
use super::{NAME, PASSKEY};
use crate::formats::carry::Carries;
use crate::formats::eth_keystore::uuid;
use crate::formats::item::{Item, ItemVersion, Loss, TEXT};
use crate::formats::record::{Field, Record, field};
use crate::formats::{FormatError, Written, names};
use crate::time::iso;

const CARRIES: Carries = Carries {
    kinds: &[],
    fields: &[],
    customs: true,
    tags: false,
    favourite: true,
    note: false,
    binary: false,
    // Said below, of what is more than a password.
    history: true,
    attachments: false,
};

#[derive(Serialize)]
struct Document {
    encrypted: bool,
    folders: Vec<Folder>,
    items: Vec<Entry>,
}

/// Writes a plain file.
///
/// # Errors
/// [`FormatError`]; there is none in memory.
pub fn all(items: &[Item]) -> Result<(Written, Vec<Loss>), FormatError> {
    let mut losses = Vec::new();
    let mut folders = BTreeMap::new();
    let mut entries = Vec::new();
    for item in items {
        if let Err(loss) = CARRIES.admits(item) {
            losses.push(loss);
            continue;
        }
        losses.extend(CARRIES.losses(item));
        let (folder, _) = item.path();
        let folder_id = folder.map(|name| {
            let id = folders.entry(names::title(name));
            id.or_insert_with_key(|name| id_of("folder", name)).clone()
        });
        entries.push(entry(item, folder_id, &mut losses));
    }
    let folders = folders.into_iter().map(|(name, id)| Folder {
        id,
        name: Some(name),
    });
    let document = Document {
        encrypted: false,
        folders: folders.collect(),
        items: entries,
    };
    let mut writer = SecretWriter::default();
    serde_json::to_writer_pretty(&mut writer, &document)
        .map_err(|error| FormatError::new(error.to_string()))?;
    Ok((Written::File(writer.finish()), losses))
}

/// The same for the same name, so that two exports can be compared.
fn id_of(what: &str, name: &str) -> String {
    let hash = Sha256::digest(format!("keyshell {what} {name}"));
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    uuid(bytes)
}

fn entry(item: &Item, folder_id: Option<String>, losses: &mut Vec<Loss>) -> Entry {
    let times: Vec<u64> = item
        .versions
        .iter()
        .filter_map(|one| one.created_ms)
        .collect();
    let (_, name) = item.path();
    let mut entry = Entry {
        id: Some(id_of("item", &item.name)),
        folder_id,
        name: Some(names::title(name)),
        favorite: item.is_favourite(),
        creation_date: times.first().map(|time| iso(*time)),
        revision_date: times.last().map(|time| iso(*time)),
        ..Entry::default()
    };
    match item.as_record() {
        Some(record) => {
            for field in record.fields.iter().filter(|field| field.section.is_some()) {
                let what = format!("the heading above the field `{}`", field.name);
                losses.push(Loss::new(&item.name, what));
            }
            fill(&mut entry, record);
            entry.password_history = history(item, losses);
        }
        None => plain(&mut entry, item, losses),
    }
    entry.rest.insert("organizationId".into(), Value::Null);
    entry
        .rest
        .entry("reprompt")
        .or_insert_with(|| Value::from(0));
    entry
}

/// Text of several lines is a note; anything shorter a login's password.
fn plain(entry: &mut Entry, item: &Item, losses: &mut Vec<Loss>) {
    let text = |version: &ItemVersion| String::from_utf8(version.value.expose().to_vec()).ok();
    let newest = item.newest().and_then(text).unwrap_or_default();
    let is_note = item.content_type.as_deref() == Some(TEXT) || newest.contains('\n');
    if is_note {
        entry.kind = 2;
        entry.notes = Some(newest);
        entry.rest.insert("secureNote".into(), json!({"type": 0}));
        if item.versions.len() > 1 {
            let what = format!("{} earlier versions of a note", item.versions.len() - 1);
            losses.push(Loss::new(&item.name, what));
        }
        return;
    }
    entry.kind = 1;
    entry.login = Some(Login {
        uris: Some(Vec::new()),
        password: Some(newest),
        ..Login::default()
    });
    let former = item.versions.iter().rev().skip(1);
    let former: Vec<Former> = former
        .filter_map(|version| {
            Some(Former {
                last_used_date: version.created_ms.map(iso),
                password: Some(text(version)?),
            })
        })
        .collect();
    let binary = item.versions.len().saturating_sub(1 + former.len());
    if binary > 0 {
        let what = format!("{binary} earlier versions, which are binary");
        losses.push(Loss::new(&item.name, what));
    }
    entry.password_history = (!former.is_empty()).then_some(former);
}

fn fill(entry: &mut Entry, record: Record) {
    let mut kept = record.kept(NAME);
    let login_rest = kept.remove("login");
    entry.kind = match record.kind.as_str() {
        "login" | "passkey" | "totp" => 1,
        "card" => 3,
        "identity" => 4,
        "ssh-key" => 5,
        other => {
            let own = other.strip_prefix("bitwarden-");
            own.and_then(|own| own.parse().ok()).unwrap_or(2)
        }
    };
    let notes: Vec<&str> = record.all(field::NOTE).collect();
    entry.notes = (!notes.is_empty()).then(|| notes.join("\n\n"));
    let mut customs = Vec::new();
    let mut login = Login {
        uris: Some(Vec::new()),
        ..Login::default()
    };
    let mut map = Map::new();
    let number = entry.kind;
    for field in record.fields {
        let placed = match number {
            1 if !field.custom => place_in_login(&mut login, field),
            3..=5 if !field.custom => place_in_map(&mut map, number, field),
            _ => Some(field),
        };
        customs.extend(placed.filter(|field| field.custom || field.name != field::NOTE));
    }
    let customs: Vec<Custom> = customs.into_iter().map(custom).collect();
    entry.fields = (!customs.is_empty()).then_some(customs);
    match number {
        1 => {
            if let Some(Value::Object(rest)) = login_rest {
                login.rest.extend(rest);
            }
            entry.login = Some(login);
        }
        2 => {
            kept.entry("secureNote")
                .or_insert_with(|| json!({"type": 0}));
        }
        3 => entry.card = Some(map),
        4 => entry.identity = Some(map),
        5 => entry.ssh_key = Some(map),
        _ => {}
    }
    entry.rest = kept;
}

/// Gives back what has no place, for a field of the owner's.
fn place_in_login(login: &mut Login, own: Field) -> Option<Field> {
    let free = |slot: &mut Option<String>, own: Field| {
        if slot.is_some() {
            return Some(own);
        }
        *slot = Some(own.value);
        None
    };
    match own.name.as_str() {
        field::USERNAME => free(&mut login.username, own),
        field::PASSWORD => free(&mut login.password, own),
        field::TOTP => free(&mut login.totp, own),
        field::URL => {
            let prefix = format!("{NAME}-");
            let rest = own.other.into_iter();
            let rest = rest
                .filter_map(|(key, value)| Some((key.strip_prefix(&prefix)?.to_owned(), value)));
            login.uris.get_or_insert_default().push(Uri {
                uri: Some(own.value),
                rest: rest.collect(),
            });
            None
        }
        PASSKEY => match serde_json::from_str(&own.value) {
            Ok(passkey) => {
                login.passkeys.get_or_insert_default().push(passkey);
                None
            }
            Err(_) => Some(own),
        },
        _ => Some(own),
    }
}

/// Fields that Bitwarden knows of cards, identities and SSH keys.
fn place_in_map(map: &mut Map<String, Value>, number: u32, own: Field) -> Option<Field> {
    const IDENTITY: [&str; 14] = [
        "title",
        "firstName",
        "middleName",
        "lastName",
        "address1",
        "address2",
        "address3",
        "city",
        "state",
        "postalCode",
        "country",
        "company",
        "ssn",
        "passportNumber",
    ];
    let kind = match number {
        3 => "card",
        4 => "identity",
        _ => "ssh-key",
    };
    if kind == "card"
        && own.name == field::EXPIRY
        && let Some((year, month)) = own.value.split_once('-')
    {
        map.insert("expYear".into(), year.into());
        map.insert("expMonth".into(), month.trim_start_matches('0').into());
        return None;
    }
    let agreed = AGREED
        .iter()
        .find(|(of, _, agreed)| *of == kind && *agreed == own.name)
        .map(|(_, key, _)| *key);
    let own_name = own.name.as_str();
    let is_known = kind == "identity"
        && (IDENTITY.contains(&own_name) || own_name == "licenseNumber")
        || kind == "card" && matches!(own_name, "expYear" | "expMonth");
    let key = agreed.or(is_known.then_some(own_name));
    match key {
        Some(key) if !map.contains_key(key) => {
            map.insert(key.to_owned(), own.value.into());
            None
        }
        _ => Some(own),
    }
}

fn custom(field: Field) -> Custom {
    let prefix = format!("{NAME}-");
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

/// Passwords of earlier versions, newest first; what else was different then has no place.
fn history(item: &Item, losses: &mut Vec<Loss>) -> Option<Vec<Former>> {
    let newest = item.as_record()?;
    let mut former = Vec::new();
    let mut differing = 0;
    for version in item.versions.iter().rev().skip(1) {
        let Ok(record) = Record::decode(version.value.expose()) else {
            differing += 1;
            continue;
        };
        let mut same = newest.clone();
        match record.get(field::PASSWORD) {
            Some(password) => {
                same.set(field::PASSWORD, password.to_owned());
                former.push(Former {
                    last_used_date: version.created_ms.map(iso),
                    password: Some(password.to_owned()),
                });
                differing += usize::from(same != record);
            }
            None => differing += 1,
        }
    }
    if differing > 0 {
        let what = format!("{differing} earlier versions, but for their passwords");
        losses.push(Loss::new(&item.name, what));
    }
    (!former.is_empty()).then_some(former)
}
