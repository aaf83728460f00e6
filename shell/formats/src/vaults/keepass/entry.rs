//! Entries of KeePass: their fields, tags and times.

use data_encoding::BASE64;
use keyshell_base::time::from_iso;
use shared::secret::SecretBytes;

use super::references;
use super::tree::Element;
use crate::model::record::{self, Record};
use crate::round_trip::stable_id;

/// The name of the field with the time of expiry, in ISO 8601.
pub const EXPIRES: &str = "expires";
/// The custom datum with the time of a version in milliseconds, where it is not a whole second.
pub const COPY_TIME: &str = "keyshell-time";
/// Additional addresses of an entry, as KeePassXC and Keepass2Android have them.
pub const MORE_URLS: &str = "KP2A_URL";
/// The one-time code of an entry, as KeePassXC has it: an otpauth URI.
pub const OTP: &str = "otp";
/// Keys of strings with a well-known field.
pub const KNOWN: [&str; 6] = ["Title", "UserName", "Password", "URL", "Notes", OTP];
/// Most fields of an entry: a value of 1 MiB has no place for more.
pub const MAX_STRINGS: usize = 65_536;
/// The nil UUID, in base64.
const NO_UUID: &str = "AAAAAAAAAAAAAAAAAAAAAA==";
/// Seconds from 0001-01-01 to 1970-01-01.
const EPOCH: i64 = 62_135_596_800;

/// One version of an item: the content of an entry without its title.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Version {
    /// The time of creation in milliseconds since 1970-01-01 UTC, where it is known.
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
pub fn strings(entry: &Element) -> impl Iterator<Item = (&str, &Element)> {
    entry.all("String").filter_map(|string| {
        let key = string.child("Key")?;
        Some((key.text.as_str(), string.child("Value")?))
    })
}

/// Marks the value of a field as one that a reference stands for.
pub fn refer(entry: &mut Element, key: &str, reference: &str) {
    let is_it = |string: &&mut Element| string.text_of("Key") == Some(key);
    let string = entry.children.iter_mut().find(is_it);
    if let Some(value) = string.and_then(|string| string.child_mut("Value")) {
        references::mark(value, reference);
    }
}

/// The text of a field, which may be empty.
pub fn string<'a>(entry: &'a Element, key: &str) -> &'a str {
    let found = strings(entry).find(|(own, _)| *own == key);
    found.map_or("", |(_, value)| value.text.as_str())
}

pub fn tags(entry: &Element) -> Vec<String> {
    let text = entry.text_of("Tags").unwrap_or_default();
    let tags = text.split([';', ',']).map(str::trim);
    tags.filter(|tag| !tag.is_empty())
        .map(str::to_owned)
        .collect()
}

pub fn expiry(entry: &Element) -> Option<u64> {
    let times = entry.child("Times")?;
    let expires = times.text_of("Expires")?.eq_ignore_ascii_case("true");
    expires.then(|| times.text_of("ExpiryTime").and_then(time))?
}

/// The time of modification: with milliseconds if our export wrote the entry.
pub fn modified(entry: &Element) -> Option<u64> {
    let times = entry.child("Times")?;
    let stated = times.text_of("LastModificationTime").and_then(time)?;
    let exact = own(entry, COPY_TIME).and_then(|text| text.parse().ok());
    let exact = exact.filter(|ms: &u64| ms / 1000 == stated / 1000);
    Some(exact.unwrap_or(stated))
}

/// The value of a custom datum.
pub fn own<'a>(entry: &'a Element, key: &str) -> Option<&'a str> {
    let mut items = entry.child("CustomData")?.all("Item");
    let found = items.find(|item| item.text_of("Key") == Some(key));
    found?.text_of("Value")
}

pub fn says_uuid<'a>(entry: &'a Element, name: &str) -> Option<&'a str> {
    entry.text_of(name).filter(|uuid| *uuid != NO_UUID)
}
