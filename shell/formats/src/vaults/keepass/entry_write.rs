//! From a version of an item to an entry.

use data_encoding::BASE64;
use keyshell_base::time::{from_iso, now_ms};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::composite;
use super::entry::{COPY_TIME, EXPIRES, MORE_URLS, OTP, Version, time_text};
use super::strings::Strings;
use super::tree::Element;
use crate::document::Base64Value;
use crate::model::record::{Record, field};
use crate::otpauth;
use crate::round_trip::{COPY, ExactCopy, KDBX};

/// An entry with fields, tags and times, and with the exact copy in its custom data if `is_exact`. `created_ms` is the time
/// of creation, where it is not that of the version.
pub fn composed(
    version: &Version,
    title: &str,
    created_ms: Option<u64>,
    is_exact: bool,
) -> Element {
    let mut entry = compose(version, title, created_ms);
    let mut items = Vec::new();
    let fraction = version.created_ms.filter(|ms| ms % 1000 != 0);
    items.extend(fraction.map(|ms| custom_data(COPY_TIME, &ms.to_string())));
    if is_exact {
        items.push(custom_data(COPY, &encoded(version)));
    }
    if !items.is_empty() {
        entry.children.push(Element::new("CustomData", items));
    }
    entry
}

fn custom_data(key: &str, value: &str) -> Element {
    Element::of_texts("Item", &[("Key", key), ("Value", value)])
}

/// The exact copy of a version, without the members that KeePass has a place for.
fn encoded(version: &Version) -> Zeroizing<String> {
    let mut value = version.value.clone();
    if let Some(mut record) = version.record()
        && record.foreign.remove(KDBX).is_some()
    {
        value = record.encode();
    }
    let copy = ExactCopy {
        value: Base64Value(value),
        content_type: version.content_type.clone(),
        note: version.note.clone(),
        members: Map::from_iter([("tags".to_owned(), json!(version.tags))]),
    };
    Zeroizing::new(escaped(&Zeroizing::new(json!(copy).to_string())))
}

/// JSON without the letters that XML cannot hold.
fn escaped(json: &str) -> String {
    json.replace('\u{fffe}', "\\ufffe")
        .replace('\u{ffff}', "\\uffff")
}

/// An entry without the exact copy.
pub fn compose(version: &Version, title: &str, created_ms: Option<u64>) -> Element {
    let mut strings = Strings::default();
    strings.add("Title", title, false);
    let expires = match version.record() {
        Some(record) => compose_record(&mut strings, &record, title),
        None => compose_bare(&mut strings, version),
    };
    let tags = version.tags.iter();
    let tags: Vec<_> = tags.map(|tag| tag.replace([';', ','], " ")).collect();
    let mut children = Vec::new();
    if !tags.is_empty() {
        children.push(Element::text("Tags", &tags.join(";")));
    }
    children.push(times(version.created_ms, created_ms, expires));
    children.extend(strings.finish());
    Element::new("Entry", children)
}

fn times(modified: Option<u64>, created: Option<u64>, expires: Option<u64>) -> Element {
    let modified = time_text(modified.unwrap_or_else(now_ms));
    let created = created.map_or_else(|| modified.clone(), time_text);
    let expiry = expires.map_or_else(|| modified.clone(), time_text);
    let does_expire = if expires.is_some() { "True" } else { "False" };
    let texts = [
        ("LastModificationTime", modified.as_str()),
        ("CreationTime", created.as_str()),
        ("LastAccessTime", modified.as_str()),
        ("ExpiryTime", expiry.as_str()),
        ("Expires", does_expire),
        ("UsageCount", "0"),
        ("LocationChanged", modified.as_str()),
    ];
    Element::of_texts("Times", &texts)
}

/// Strings of a value without fields, which never expires.
fn compose_bare(strings: &mut Strings, version: &Version) -> Option<u64> {
    let is_text = version
        .content_type
        .as_deref()
        .is_some_and(|kind| kind.starts_with("text/"));
    match std::str::from_utf8(version.value.expose()) {
        Ok(text) if is_text => strings.add("Notes", text, false),
        Ok(text) => strings.add("Password", text, true),
        Err(_) => {
            let text = Zeroizing::new(BASE64.encode(version.value.expose()));
            strings.add("Password", &text, true);
        }
    }
    if !version.note.is_empty() {
        let key = if is_text { field::NOTE } else { "Notes" };
        strings.add(key, &version.note, false);
    }
    None
}

/// Fields of a record, and when it expires.
fn compose_record(strings: &mut Strings, record: &Record, title: &str) -> Option<u64> {
    let mut expires = None;
    let mut more_urls = 0;
    for field in &record.fields {
        let value = field.value.as_str();
        let first = |key: &'static str| (!strings.has(key)).then_some(key);
        let name = field.name.as_str();
        let own = match name {
            _ if field.custom => None,
            field::USERNAME => first("UserName"),
            field::PASSWORD => first("Password"),
            field::URL => first("URL"),
            field::NOTE => first("Notes"),
            field::TOTP => first(OTP),
            EXPIRES if expires.is_none() => {
                expires = from_iso(value);
                if expires.is_some() {
                    continue;
                }
                None
            }
            _ => None,
        };
        match own {
            Some("Password") => strings.add("Password", value, true),
            Some(OTP) => {
                if !add_all(strings, composite::code(field)) {
                    strings.add(OTP, &otpauth(value, title), true);
                }
            }
            Some(own) => strings.add(own, value, false),
            None if name == field::URL && !field.custom => {
                let key = match more_urls {
                    0 => MORE_URLS.to_owned(),
                    number => format!("{MORE_URLS}_{number}"),
                };
                more_urls += 1;
                strings.add(&key, value, false);
            }
            None if name == field::PASSKEY && !field.custom => {
                if !add_all(strings, composite::passkey(value)) {
                    strings.add(name, value, field.hidden);
                }
            }
            None => strings.add(name, value, field.hidden),
        }
        // A one-time code keeps an object here instead.
        if let Some(reference) = field.other.get(KDBX).and_then(Value::as_str) {
            strings.refer(reference);
        }
    }
    expires
}

/// Adds the strings of a field if all their keys are free; whether they were added.
fn add_all(strings: &mut Strings, texts: Option<Vec<composite::Text>>) -> bool {
    let texts = texts.filter(|texts| !texts.iter().any(|(key, ..)| strings.has(key)));
    for (key, value, is_protected) in texts.iter().flatten() {
        strings.add(key, value, *is_protected);
    }
    texts.is_some()
}

/// A bare seed, and one of Steam as Bitwarden has it, as the URI that KeePassXC wants.
fn otpauth(value: &str, title: &str) -> String {
    let steam = value.strip_prefix("steam://");
    if steam.is_none() && value.contains("://") {
        return value.to_owned();
    }
    let letters = steam.unwrap_or(value).chars();
    let secret: String = letters.filter(char::is_ascii_alphanumeric).collect();
    let label = otpauth::encoded(title);
    let parameters = steam.into_iter().flat_map(|_| otpauth::STEAM);
    otpauth::uri(otpauth::TOTP, &label, &secret, parameters)
}
