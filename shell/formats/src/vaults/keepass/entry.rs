//! Entries of KeePass and what they are here.

use std::collections::HashSet;

use data_encoding::BASE64;
use keyshell_base::time::{from_iso, iso};
use serde::Deserialize as _;
use serde_json::{Map, Value, json};
use shared::secret::SecretBytes;
use zeroize::Zeroizing;

use super::composite;
use super::strings::Strings;
use super::tree::Element;
use crate::document::Base64Value;
use crate::model::item::TEXT;
use crate::model::record::{self, Field, Record, field};
use crate::otpauth;
use crate::round_trip::{self, COPY, ExactCopy, KDBX, stable_id};

/// When an entry expires: the name of the field that says it, in ISO 8601.
const EXPIRES: &str = "expires";
/// Key of our custom data: when a version was made, in milliseconds, where that is no whole second.
const COPY_TIME: &str = "keyshell-time";
/// Additional addresses of an entry, as KeePassXC and Keepass2Android have them.
const MORE_URLS: &str = "KP2A_URL";
/// The one-time code of an entry, as KeePassXC has it: an otpauth URI.
const OTP: &str = "otp";
/// Keys that have a place of their own.
const KNOWN: [&str; 6] = ["Title", "UserName", "Password", "URL", "Notes", OTP];
/// Most fields of an entry: a value of 1 MiB has no place for more.
pub const MAX_STRINGS: usize = 65_536;
/// How deep elements may nest that are kept: JSON nests twice as deep, and 128 levels of it can be read.
const MAX_KEPT_DEPTH: usize = 40;
/// How many elements are kept of an entry, with all in them.
const MAX_KEPT: usize = 10_000;
/// The UUID of nothing.
const NO_UUID: &str = "AAAAAAAAAAAAAAAAAAAAAA==";
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
    /// The value as a record, where it is one.
    pub fn record(&self) -> Option<Record> {
        let is_record = self.content_type.as_deref() == Some(record::CONTENT_TYPE);
        is_record.then(|| Record::decode(self.value.expose()).ok())?
    }
}

/// The UUID, in base64, of an entry or group that has no other.
pub fn uuid_of(name: &str) -> String {
    BASE64.encode(&stable_id(name))
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

/// When an entry was last changed: to the millisecond if it was we who wrote it.
pub fn modified(entry: &Element) -> Option<u64> {
    let times = entry.child("Times")?;
    let stated = times.text_of("LastModificationTime").and_then(time)?;
    let exact = own(entry, COPY_TIME).and_then(|text| text.parse().ok());
    let exact = exact.filter(|ms: &u64| ms / 1000 == stated / 1000);
    Some(exact.unwrap_or(stated))
}

/// One of our custom data.
fn own<'a>(entry: &'a Element, key: &str) -> Option<&'a str> {
    let mut items = entry.child("CustomData")?.all("Item");
    let found = items.find(|item| item.text_of("Key") == Some(key));
    found?.text_of("Value")
}

/// Whether an entry is a note that is nothing but text.
pub fn is_bare_note(entry: &Element) -> bool {
    let mut others = strings(entry).filter(|(key, _)| !matches!(*key, "Title" | "Notes"));
    let has_text = !string(entry, "Notes").is_empty();
    has_text
        && others.all(|(_, value)| value.text.is_empty())
        && expiry(entry).is_none()
        && foreign(entry).next().is_none()
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

/// An entry as a record, which keeps what has no place in it; `usual` for the newest version of an item.
pub fn as_record(entry: &Element, usual: Option<&Usual>) -> Version {
    let text = |key: &str| string(entry, key);
    let all: Vec<_> = strings(entry)
        .map(|(key, value)| (key, value.text.as_str()))
        .collect();
    let has_otp = !text(OTP).is_empty();
    let code = (!has_otp).then(|| composite::take_code(&all, text("Title")));
    let code = code.flatten();
    let passkey = composite::take_passkey(&all);
    let is_login = ["UserName", "Password", "URL", OTP]
        .iter()
        .any(|key| !text(key).is_empty());
    let is_login = is_login || code.is_some() || passkey.is_some();
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
    let mut known = KNOWN.to_vec();
    for (field, keys) in code.into_iter().chain(passkey) {
        record.fields.push(field);
        known.extend(keys);
    }
    for (key, value) in strings(entry) {
        if !known.contains(&key) && !is_more_url(key) {
            let is_hidden =
                value.is("Protected") || value.is("ProtectInMemory") || composite::is_hidden(key);
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
    keep(entry, usual, &mut record);
    Version {
        created_ms: modified(entry),
        content_type: Some(record::CONTENT_TYPE.into()),
        value: record.encode(),
        note: String::new(),
        tags: tags(entry),
    }
}

/// Keeps what of an entry has no place in the record.
fn keep(entry: &Element, usual: Option<&Usual>, record: &mut Record) {
    let mut map = Map::new();
    if let Some(usual) = usual {
        let uuid = entry.text_of("UUID").filter(|uuid| *uuid != usual.uuid);
        map.extend(uuid.map(|uuid| ("uuid".to_owned(), uuid.into())));
        let created = entry
            .child("Times")
            .and_then(|times| times.text_of("CreationTime"));
        let created = created.and_then(time);
        let seconds = usual.created_ms.map(|ms| ms / 1000);
        let created = created.filter(|created| Some(created / 1000) != seconds);
        map.extend(created.map(|created| ("created".to_owned(), created.into())));
    }
    let (elements, _) = kept(entry);
    if !elements.is_empty() {
        map.insert("elements".into(), elements.into());
    }
    record.foreign.remove(KDBX);
    record.keep(KDBX, map);
}

fn is_more_url(key: &str) -> bool {
    let rest = key.strip_prefix(MORE_URLS);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}

/// Elements of an entry that have no place here and are not as they usually are.
fn foreign(entry: &Element) -> impl Iterator<Item = &Element> {
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
    entry.children.iter().filter(move |child| {
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
            "CustomData" => !child.children.iter().any(is_theirs),
            _ => false,
        };
        !is_empty && !is_usual && !known.contains(&child.name.as_str())
    })
}

/// Whether a custom datum is neither ours nor one that programs write by themselves.
fn is_theirs(item: &Element) -> bool {
    let key = item.text_of("Key");
    !matches!(key, None | Some(COPY | COPY_TIME | "_LAST_MODIFIED"))
}

/// What an entry says that has no place here, and whether that is not all, because there is too much of it.
fn kept(entry: &Element) -> (Vec<Value>, bool) {
    let (mut kept, mut left) = (Vec::new(), MAX_KEPT);
    let mut is_all = true;
    for element in foreign(entry) {
        match left.checked_sub(element.count()) {
            Some(less) if element.depth() <= MAX_KEPT_DEPTH => left = less,
            _ => {
                is_all = false;
                continue;
            }
        }
        if element.name == "CustomData" {
            let mut data = element.clone();
            data.children.retain(is_theirs);
            kept.push(json!(data));
        } else {
            kept.push(json!(element));
        }
    }
    (kept, is_all)
}

/// What of an entry and its earlier versions has no place in versions that were read from them.
pub fn losses(entry: &Element, former: &[&Element], is_record: bool) -> Vec<String> {
    let is_said = |entry: &Element, name: &str| says_uuid(entry, name).is_some();
    let icon = says_uuid(entry, "CustomIconUUID");
    let any = |is_it: &dyn Fn(&Element) -> bool| former.iter().any(|former| is_it(former));
    let all = || former.iter().copied().chain([entry]);
    let own_tags: HashSet<String> = tags(entry).into_iter().collect();
    let has_other_tags = |former: &Element| tags(former).iter().any(|tag| !own_tags.contains(tag));
    let title = string(entry, "Title");
    let has_other_icon = |former: &Element| {
        let own = says_uuid(former, "CustomIconUUID");
        own.is_some() && own != icon
    };
    let checks = [
        (icon.is_some(), "its own icon"),
        (
            is_said(entry, "PreviousParentGroup"),
            "the group that it was in before",
        ),
        (all().any(has_twice), "fields that have the name of another"),
        (
            all().any(|entry| !kept(entry).1),
            "elements that nest too deep, or are too many",
        ),
        (
            !is_record && all().any(|entry| foreign(entry).next().is_some()),
            "settings that KeePass has for entries",
        ),
        (
            any(&|former| string(former, "Title") != title),
            "titles of earlier versions",
        ),
        (any(&has_other_tags), "tags of earlier versions"),
        (any(&has_other_icon), "icons of earlier versions"),
    ];
    let lost = checks.into_iter().filter(|(is_lost, _)| *is_lost);
    lost.map(|(_, what)| what.to_owned()).collect()
}

fn says_uuid<'a>(entry: &'a Element, name: &str) -> Option<&'a str> {
    entry.text_of(name).filter(|uuid| *uuid != NO_UUID)
}

/// Whether a field with a place of its own is there more than once.
fn has_twice(entry: &Element) -> bool {
    KNOWN.iter().any(|known| {
        let own = strings(entry).filter(|(key, _)| key == known);
        own.skip(1).any(|(_, value)| !value.text.is_empty())
    })
}

/// Whether an entry or an earlier version of it has more fields than are read.
pub fn has_too_many(entry: &Element) -> bool {
    strings(entry).nth(MAX_STRINGS).is_some()
}

/// What a group says that has no place here, each in a word.
pub fn of_group(group: &Element) -> Vec<&'static str> {
    let says = |name: &str| {
        let text = group.text_of(name).unwrap_or_default();
        !text.is_empty() && !text.eq_ignore_ascii_case("null")
    };
    let is_usual_icon = matches!(group.text_of("IconID"), None | Some("48" | "49"));
    let has_icon = !is_usual_icon || says_uuid(group, "CustomIconUUID").is_some();
    let data = group.child("CustomData");
    let sequence = [
        "DefaultAutoTypeSequence",
        "EnableAutoType",
        "EnableSearching",
    ];
    let checks = [
        (says("Notes"), "notes"),
        (says("Tags"), "tags"),
        (expiry(group).is_some(), "expiry"),
        (has_icon, "icon"),
        (
            data.is_some_and(|data| data.children.iter().any(is_theirs)),
            "custom data",
        ),
        (sequence.iter().any(|name| says(name)), "settings"),
        (
            says_uuid(group, "PreviousParentGroup").is_some(),
            "former place",
        ),
    ];
    let said = checks.into_iter().filter(|(is_said, _)| *is_said);
    said.map(|(_, what)| what).collect()
}

/// What our custom data say of an entry, if it is otherwise as we wrote it; `usual` for the newest version of an item.
pub fn exact(entry: &Element, usual: Option<&Usual>) -> Option<Version> {
    let mut version = written(entry)?;
    if let Some(mut record) = version.record() {
        let before = record.foreign.clone();
        keep(entry, usual, &mut record);
        if record.foreign != before {
            version.value = record.encode();
        }
    }
    Some(version)
}

fn written(entry: &Element) -> Option<Version> {
    let copy: ExactCopy = serde_json::from_str(own(entry, COPY)?).ok()?;
    let version = Version {
        created_ms: modified(entry),
        tags: copy.member("tags")?,
        content_type: copy.content_type,
        value: copy.value.0,
        note: copy.note,
    };
    let texts = |entry: &Element| {
        let texts = strings(entry).filter(|(_, value)| !value.text.is_empty());
        let mut texts: Vec<_> = texts
            .map(|(key, value)| (key.to_owned(), value.text.clone()))
            .collect();
        texts.sort_by(|(one, _), (other, _)| one.cmp(other));
        (texts, tags(entry), expiry(entry))
    };
    round_trip::accept(version, &texts(entry), |version| {
        texts(&compose(version, string(entry, "Title")))
    })
}

/// An entry with fields, tags and times; `is_exact` says that the version itself goes into its custom data as well.
pub fn composed(version: &Version, title: &str, is_exact: bool) -> Element {
    let mut entry = compose(version, title);
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
    Element::new(
        "Item",
        vec![Element::text("Key", key), Element::text("Value", value)],
    )
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
    children.extend(strings.finish());
    Element::new("Entry", children)
}

fn times(modified: Option<u64>, expires: Option<u64>) -> Element {
    let modified = time_text(modified.unwrap_or_else(keyshell_base::time::now_ms));
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

/// Sets when an entry was made; its other times are those of the version.
pub fn set_creation(entry: &mut Element, created_ms: u64) {
    let mut times = entry.children.iter_mut();
    let times = times.find(|child| child.name == "Times");
    let times = times.into_iter().flat_map(|times| &mut times.children);
    for time in times.filter(|time| time.name == "CreationTime") {
        *time = Element::text("CreationTime", &time_text(created_ms));
    }
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
            Some(OTP) => match composite::code(field).filter(|texts| is_free(strings, texts)) {
                Some(texts) => add_all(strings, &texts),
                None => strings.add(OTP, &otpauth(value, title), true),
            },
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
                match composite::passkey(value).filter(|texts| is_free(strings, texts)) {
                    Some(texts) => add_all(strings, &texts),
                    None => strings.add(name, value, field.hidden),
                }
            }
            None => strings.add(name, value, field.hidden),
        }
    }
    expires
}

fn is_free(strings: &Strings, texts: &[composite::Text]) -> bool {
    !texts.iter().any(|(key, ..)| strings.has(key))
}

fn add_all(strings: &mut Strings, texts: &[composite::Text]) {
    for (key, value, is_protected) in texts {
        strings.add(key, value, *is_protected);
    }
}

/// A bare seed as the URI that KeePassXC wants.
fn otpauth(value: &str, title: &str) -> String {
    if value.contains("://") {
        return value.to_owned();
    }
    let secret: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
    otpauth::uri(&otpauth::encoded(title), &secret, [("", ""); 0])
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
        let mut map = record.kept(KDBX);
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
                let elements = elements.iter().map(Element::deserialize);
                elements.flatten().filter_map(Element::checked).collect()
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
