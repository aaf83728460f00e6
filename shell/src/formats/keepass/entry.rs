//! Entries of KeePass and what they are here.

use data_encoding::BASE64;
use serde_json::{Map, Value, json};
use shared::secret::SecretBytes;
use zeroize::Zeroizing;

use super::NAME;
use super::tree::Element;
use super::xml::holds;
use crate::formats::item::TEXT;
use crate::formats::record::{self, Field, Record, field};
use crate::time::{from_iso, iso};

/// When an entry expires: the name of the field that says it, in ISO 8601.
const EXPIRES: &str = "expires";
/// Key of our custom data.
const OURS: &str = "keyshell";
/// Additional addresses of an entry, as KeePassXC and Keepass2Android have them.
const MORE_URLS: &str = "KP2A_URL";
/// The one-time code of an entry, as KeePassXC has it: an otpauth URI.
const OTP: &str = "otp";
/// Seconds from 0001-01-01 to 1970-01-01.
const EPOCH: i64 = 62_135_596_800;

/// One version of an item: all that an entry says of it, but its title.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Version {
    /// When it was made.
    pub created_ms: Option<u64>,
    /// Media type of the value.
    pub content_type: Option<String>,
    /// The value.
    pub value: SecretBytes,
    /// The note beside it.
    pub note: String,
    /// Tags.
    pub tags: Vec<String>,
}

impl Version {
    fn record(&self) -> Option<Record> {
        let is_record = self.content_type.as_deref() == Some(record::CONTENT_TYPE);
        is_record.then(|| Record::decode(self.value.expose()).ok())?
    }

    fn is_same(&self, other: &Self) -> bool {
        let sorted = |version: &Self| {
            let mut tags = version.tags.clone();
            tags.sort();
            tags
        };
        let is_same_value = match (self.record(), other.record()) {
            (Some(one), Some(other)) => one == other,
            _ => self.value == other.value,
        };
        is_same_value
            && self.content_type == other.content_type
            && self.note == other.note
            && sorted(self) == sorted(other)
    }
}

/// A time, in the binary form of KDBX 4 or in that of XML.
pub fn time(text: &str) -> Option<u64> {
    if let Some(ms) = from_iso(text) {
        return Some(ms);
    }
    let bytes = BASE64.decode(text.as_bytes()).ok()?;
    let seconds = i64::from_le_bytes(bytes.try_into().ok()?).checked_sub(EPOCH)?;
    u64::try_from(seconds).ok()?.checked_mul(1000)
}

/// A time in the binary form.
pub fn time_text(ms: u64) -> String {
    let seconds = i64::try_from(ms / 1000)
        .unwrap_or(i64::MAX)
        .saturating_add(EPOCH);
    BASE64.encode(&seconds.to_le_bytes())
}

/// The fields of an entry by key.
fn strings(entry: &Element) -> impl Iterator<Item = (&str, &Element)> {
    entry.all("String").filter_map(|string| {
        let key = string.child("Key")?;
        Some((key.text.as_str(), string.child("Value")?))
    })
}

/// The text of a field, which may be empty.
pub fn string<'a>(entry: &'a Element, key: &str) -> &'a str {
    let found = strings(entry).find(|(own, _)| *own == key);
    found.map_or("", |(_, value)| value.text.as_str())
}

fn tags(entry: &Element) -> Vec<String> {
    let text = entry.text_of("Tags").unwrap_or_default();
    let tags = text.split([';', ',']).map(str::trim);
    tags.filter(|tag| !tag.is_empty())
        .map(str::to_owned)
        .collect()
}

fn expiry(entry: &Element) -> Option<u64> {
    let times = entry.child("Times")?;
    let expires = times.text_of("Expires")?.eq_ignore_ascii_case("true");
    expires.then(|| times.text_of("ExpiryTime").and_then(time))?
}

/// When an entry was last changed.
pub fn modified(entry: &Element) -> Option<u64> {
    let times = entry.child("Times")?;
    times.text_of("LastModificationTime").and_then(time)
}

/// Whether an entry is a note that is nothing but text.
pub fn is_bare_note(entry: &Element) -> bool {
    let mut others = strings(entry).filter(|(key, _)| !matches!(*key, "Title" | "Notes"));
    let has_text = !string(entry, "Notes").is_empty();
    has_text
        && others.all(|(_, value)| value.text.is_empty())
        && expiry(entry).is_none()
        && kept(entry).is_empty()
}

/// An entry as a note that is nothing but text.
pub fn bare_note(entry: &Element) -> Version {
    Version {
        created_ms: modified(entry),
        content_type: Some(TEXT.into()),
        value: SecretBytes::from(string(entry, "Notes").as_bytes()),
        note: String::new(),
        tags: tags(entry),
    }
}

/// What an entry says that is the same for every entry of this name, unless others wrote it.
#[derive(Debug, Clone)]
pub struct Usual {
    /// Its UUID, in base64.
    pub uuid: String,
    /// When its first version was made.
    pub created_ms: Option<u64>,
}

/// An entry as a record; `usual` where what has no place is kept, but for this.
pub fn as_record(entry: &Element, usual: Option<&Usual>) -> Version {
    let text = |key: &str| string(entry, key);
    let is_login = ["UserName", "Password", "URL", OTP]
        .iter()
        .any(|key| !text(key).is_empty());
    let kind = match () {
        () if is_login => "login",
        () if !text("Notes").is_empty() => "note",
        () => "other",
    };
    let mut record = Record::new(kind);
    record.push(field::USERNAME, text("UserName"));
    record.push(field::PASSWORD, text("Password"));
    record.push(field::URL, text("URL"));
    for (key, value) in strings(entry) {
        if is_more_url(key) {
            record.push(field::URL, value.text.as_str());
        }
    }
    record.push(field::TOTP, text(OTP));
    let known = ["Title", "UserName", "Password", "URL", "Notes", OTP];
    for (key, value) in strings(entry) {
        if !known.contains(&key) && !is_more_url(key) {
            let is_hidden = value.is("Protected") || value.is("ProtectInMemory");
            let custom = Field::custom(key, value.text.as_str(), is_hidden);
            record.fields.push(custom);
        }
    }
    if let Some(ms) = expiry(entry) {
        record.fields.push(Field {
            name: EXPIRES.into(),
            // KeePass has whole seconds.
            value: iso(ms).replace(".000Z", "Z"),
            content: Some("date-time".into()),
            ..Field::default()
        });
    }
    record.push(field::NOTE, text("Notes"));
    if let Some(usual) = usual {
        keep(entry, usual, &mut record);
    }
    Version {
        created_ms: modified(entry),
        content_type: Some(record::CONTENT_TYPE.into()),
        value: record.encode(),
        note: String::new(),
        tags: tags(entry),
    }
}

/// Keeps what of an entry has no place in the record.
fn keep(entry: &Element, usual: &Usual, record: &mut Record) {
    let mut map = Map::new();
    let uuid = entry.text_of("UUID").filter(|uuid| *uuid != usual.uuid);
    map.extend(uuid.map(|uuid| ("uuid".to_owned(), uuid.into())));
    let created = entry
        .child("Times")
        .and_then(|times| times.text_of("CreationTime"));
    let created = created.and_then(time);
    let created = created.filter(|created| Some(*created) != usual.created_ms);
    map.extend(created.map(|created| ("created".to_owned(), created.into())));
    let elements = kept(entry);
    if !elements.is_empty() {
        map.insert("elements".into(), elements.into());
    }
    record.keep(NAME, map);
}

fn is_more_url(key: &str) -> bool {
    let rest = key.strip_prefix(MORE_URLS);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}

/// What an entry says that has no place here and is not as it usually is.
fn kept(entry: &Element) -> Vec<Value> {
    let known = [
        "UUID",
        "String",
        "Binary",
        "Times",
        "Tags",
        "History",
        "CustomIconUUID",
        "PreviousParentGroup",
    ];
    let elements = entry.children.iter().filter(|child| {
        let is_empty = child.text.is_empty() && child.children.is_empty();
        let is_usual = match child.name.as_str() {
            "IconID" => child.text.as_str() == "0",
            "QualityCheck" => child.text.eq_ignore_ascii_case("true"),
            "AutoType" => {
                let text = |name| child.text_of(name).unwrap_or_default();
                !text("Enabled").eq_ignore_ascii_case("false")
                    && text("DefaultSequence").is_empty()
                    && child.child("Association").is_none()
            }
            _ => false,
        };
        !is_empty && !is_usual && !known.contains(&child.name.as_str())
    });
    let elements = elements.filter_map(|child| {
        if child.name != "CustomData" {
            return Some(child.to_json());
        }
        let mut data = child.clone();
        data.children
            .retain(|item| !matches!(item.text_of("Key"), None | Some(OURS | "_LAST_MODIFIED")));
        (!data.children.is_empty()).then(|| data.to_json())
    });
    elements.collect()
}

/// What our custom data say of an entry, if it is otherwise as we wrote it; `usual` where what has no place is kept.
pub fn exact(entry: &Element, usual: Option<&Usual>) -> Option<Version> {
    let mut version = written(entry)?;
    if let (Some(usual), Some(mut record)) = (usual, version.record()) {
        let before = record.foreign.clone();
        keep(entry, usual, &mut record);
        if record.foreign != before {
            version.value = record.encode();
        }
    }
    Some(version)
}

fn written(entry: &Element) -> Option<Version> {
    let items = entry.child("CustomData")?;
    let ours = items
        .all("Item")
        .find(|item| item.text_of("Key") == Some(OURS))?;
    let ours: Value = serde_json::from_str(ours.text_of("Value")?).ok()?;
    let text = |key: &str| Some(ours.get(key)?.as_str()?.to_owned());
    let version = Version {
        created_ms: modified(entry),
        content_type: text("contentType"),
        value: SecretBytes::new(BASE64.decode(text("value")?.as_bytes()).ok()?),
        note: text("note").unwrap_or_default(),
        tags: serde_json::from_value(ours.get("tags")?.clone()).ok()?,
    };
    let composed = compose(&version, string(entry, "Title"));
    let texts = |entry: &Element| {
        let texts = strings(entry).filter(|(_, value)| !value.text.is_empty());
        let mut texts: Vec<_> = texts
            .map(|(key, value)| (key.to_owned(), value.text.clone()))
            .collect();
        texts.sort_by(|(one, _), (other, _)| one.cmp(other));
        (texts, tags(entry), expiry(entry))
    };
    (texts(&composed) == texts(entry)).then_some(version)
}

/// An entry with fields, tags and times, and our custom data where they are needed.
pub fn composed(version: &Version, title: &str) -> Element {
    let mut entry = compose(version, title);
    let plain = if is_bare_note(&entry) {
        bare_note(&entry)
    } else {
        as_record(&entry, None)
    };
    let with_kept = version.record().map(|mut record| {
        // It goes out in its own places.
        record.foreign.remove(NAME);
        Version {
            value: record.encode(),
            ..version.clone()
        }
    });
    let version = with_kept.as_ref().unwrap_or(version);
    if !plain.is_same(version) {
        let mut ours =
            json!({"value": BASE64.encode(version.value.expose()), "tags": version.tags});
        if let Some(ours) = ours.as_object_mut() {
            let kind = version.content_type.as_deref();
            ours.extend(kind.map(|kind| ("contentType".to_owned(), kind.into())));
            if !version.note.is_empty() {
                ours.insert("note".into(), version.note.as_str().into());
            }
        }
        let text = Zeroizing::new(escaped(&Zeroizing::new(ours.to_string())));
        let item = vec![Element::text("Key", OURS), Element::text("Value", &text)];
        let item = Element::new("Item", item);
        entry.children.push(Element::new("CustomData", vec![item]));
    }
    entry
}

/// JSON without the letters that XML cannot hold.
fn escaped(json: &str) -> String {
    json.replace('\u{fffe}', "\\ufffe")
        .replace('\u{ffff}', "\\uffff")
}

/// Fields on their way out: each key once.
#[derive(Default)]
struct Strings {
    elements: Vec<Element>,
    keys: Vec<String>,
}

impl Strings {
    fn has(&self, key: &str) -> bool {
        self.keys.iter().any(|own| own == key)
    }

    /// Under this key if it is free, else under one that says which it is.
    fn add(&mut self, key: &str, value: &str, is_protected: bool) {
        let key = if key.is_empty() { "field" } else { key };
        let mut free = key.to_owned();
        let mut number = 1;
        while self.has(&free) {
            number += 1;
            free = format!("{key} ({number})");
        }
        let mut text = Element::text("Value", value);
        if is_protected || !holds(value) {
            text.attributes.push(("Protected".into(), "True".into()));
        }
        self.elements.push(Element::new(
            "String",
            vec![Element::text("Key", &free), text],
        ));
        self.keys.push(free);
    }
}

/// An entry as KeePass alone says it.
fn compose(version: &Version, title: &str) -> Element {
    let mut strings = Strings::default();
    strings.add("Title", title, false);
    let mut expires = None;
    match version.record() {
        Some(record) => expires = compose_record(&mut strings, &record, title),
        None => compose_bare(&mut strings, version),
    }
    let tags: Vec<_> = version
        .tags
        .iter()
        .map(|tag| tag.replace([';', ','], " "))
        .collect();
    let mut children = Vec::new();
    if !tags.is_empty() {
        children.push(Element::text("Tags", &tags.join(";")));
    }
    children.push(times(version.created_ms, expires));
    children.append(&mut strings.elements);
    Element::new("Entry", children)
}

fn times(modified: Option<u64>, expires: Option<u64>) -> Element {
    let modified = time_text(modified.unwrap_or_else(crate::time::now_ms));
    let expiry = expires.map_or_else(|| modified.clone(), time_text);
    let does_expire = if expires.is_some() { "True" } else { "False" };
    let texts = [
        ("LastModificationTime", modified.as_str()),
        ("CreationTime", modified.as_str()),
        ("LastAccessTime", modified.as_str()),
        ("ExpiryTime", expiry.as_str()),
        ("Expires", does_expire),
        ("UsageCount", "0"),
        ("LocationChanged", modified.as_str()),
    ];
    let texts = texts.iter().map(|(name, text)| Element::text(name, text));
    Element::new("Times", texts.collect())
}

fn compose_bare(strings: &mut Strings, version: &Version) {
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
            Some(OTP) => strings.add(OTP, &otpauth(value, title), true),
            Some(own) => strings.add(own, value, false),
            None if name == field::URL && !field.custom => {
                let key = match more_urls {
                    0 => MORE_URLS.to_owned(),
                    number => format!("{MORE_URLS}_{number}"),
                };
                more_urls += 1;
                strings.add(&key, value, false);
            }
            None => strings.add(name, value, field.hidden),
        }
    }
    expires
}

/// A bare seed as the URI that KeePassXC wants.
fn otpauth(value: &str, title: &str) -> String {
    if value.contains("://") {
        return value.to_owned();
    }
    let label: String = form_urlencoded::byte_serialize(title.as_bytes()).collect();
    let secret: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
    format!(
        "otpauth://totp/{}?secret={secret}",
        label.replace('+', "%20")
    )
}

/// What [`as_record`] kept of an entry.
#[derive(Debug, Default)]
pub struct Kept {
    /// Its UUID, in base64.
    pub uuid: Option<String>,
    /// When it was made.
    pub created_ms: Option<u64>,
    /// Everything else.
    pub elements: Vec<Element>,
}

impl Kept {
    /// What was kept for a version.
    pub fn of(version: &Version) -> Self {
        let Some(record) = version.record() else {
            return Self::default();
        };
        let mut map = record.kept(NAME);
        let uuid = map.get("uuid").and_then(Value::as_str);
        let is_uuid = |uuid: &&str| {
            BASE64
                .decode(uuid.as_bytes())
                .is_ok_and(|bytes| bytes.len() == 16)
        };
        let uuid = uuid.filter(is_uuid).map(str::to_owned);
        let created_ms = map.get("created").and_then(Value::as_u64);
        let elements = match map.remove("elements") {
            Some(Value::Array(elements)) => {
                elements.iter().filter_map(Element::from_json).collect()
            }
            _ => Vec::new(),
        };
        Self {
            uuid,
            created_ms,
            elements,
        }
    }
}
