//! From an entry to a version of an item.

use keyshell_base::time::iso;
use shared::secret::SecretBytes;

use super::entry::{
    EXPIRES, KNOWN, MORE_URLS, OTP, Version, expiry, modified, own, string, strings, tags,
};
use super::entry_write::compose;
use super::foreign::{Usual, foreign, keep};
use super::tree::Element;
use super::{composite, references};
use crate::model::item::TEXT;
use crate::model::record::{self, Field, Record, field};
use crate::round_trip::{self, COPY, ExactCopy, KDBX};

/// Whether an entry is a note that is nothing but text.
pub fn is_bare_note(entry: &Element) -> bool {
    let mut others = strings(entry).filter(|(key, _)| !matches!(*key, "Title" | "Notes"));
    let has_text = !string(entry, "Notes").is_empty();
    has_text
        && others.all(|(_, value)| value.text.is_empty())
        && strings(entry).all(|(_, value)| references::of(value).is_none())
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

/// An entry as a record, which keeps the parts without a field; `usual` for the newest version of an item.
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
    let agreed = |name: &str, value: &Element| {
        let field = Field::agreed(name, value.text.as_str());
        (!value.text.is_empty()).then(|| referring(field, value))
    };
    let first = |name: &str, key: &str| {
        let (_, value) = strings(entry).find(|(own, _)| *own == key)?;
        agreed(name, value)
    };
    record.fields.extend(first(field::USERNAME, "UserName"));
    record.fields.extend(first(field::PASSWORD, "Password"));
    record.fields.extend(first(field::URL, "URL"));
    let more = strings(entry).filter(|(key, _)| is_more_url(key));
    let more = more.filter_map(|(_, value)| agreed(field::URL, value));
    record.fields.extend(more);
    let otp = first(field::TOTP, OTP).map(|mut field| {
        field.value = composite::uri(&field.value, text("Title")).unwrap_or(field.value);
        field
    });
    record.fields.extend(otp);
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
            record.fields.push(referring(custom, value));
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
    record.fields.extend(first(field::NOTE, "Notes"));
    keep(entry, usual, &mut record);
    Version {
        created_ms: modified(entry),
        content_type: Some(record::CONTENT_TYPE.into()),
        value: record.encode(),
        note: String::new(),
        tags: tags(entry),
    }
}

/// A field that keeps the reference that stands for its value.
fn referring(mut field: Field, value: &Element) -> Field {
    let reference = references::of(value).map(Into::into);
    field
        .other
        .extend(reference.map(|reference| (KDBX.to_owned(), reference)));
    field
}

fn is_more_url(key: &str) -> bool {
    let rest = key.strip_prefix(MORE_URLS);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
}

/// The exact copy in our custom data, if the entry is otherwise unchanged; `usual` for the newest version of an item.
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
        texts(&compose(version, string(entry, "Title"), None))
    })
}
