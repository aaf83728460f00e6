//! An item that is being read from a file of another program.

use std::collections::HashMap;

use serde_json::Value;

use crate::model::item::{Attachment, Item};
use crate::model::record::{Field, Record, field};
use crate::names;

/// Deepest nesting of JSON whose values become fields of their own; deeper values are kept as JSON.
const MAX_DEPTH: usize = 8;

/// The parts of an item that are known so far.
#[derive(Debug, Default)]
pub struct Draft {
    /// The folders, separated by `/`.
    pub folder: String,
    /// The title; it may contain `/`.
    pub title: String,
    /// The kind; empty for that of the fields.
    pub kind: String,
    /// The fields.
    pub fields: Vec<Field>,
    /// The tags.
    pub tags: Vec<String>,
    /// Whether the item is a favourite.
    pub is_favourite: bool,
    /// The time of the last change, in milliseconds since 1970-01-01 UTC.
    pub modified_ms: Option<u64>,
    /// The attached files.
    pub attachments: Vec<Attachment>,
    /// Parts that are dropped.
    pub losses: Vec<String>,
}

impl Draft {
    /// Adds a well-known field, unless the value is empty.
    pub fn push(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        if !value.is_empty() {
            self.fields.push(Field::agreed(name, value));
        }
    }

    /// Adds a field of the owner's, unless the value is empty.
    pub fn custom(&mut self, name: &str, value: impl Into<String>, hidden: bool) {
        let value = value.into();
        if !value.is_empty() {
            self.fields.push(Field::custom(name, value, hidden));
        }
    }

    /// Adds an address, unless it is empty or known.
    pub fn url(&mut self, url: &str) {
        let is_it = |own: &Field| own.name == field::URL && own.value == url;
        if !self.fields.iter().any(is_it) {
            self.push(field::URL, url);
        }
    }

    /// Adds the month of an expiry, or the unchanged text if it is no month.
    pub fn expiry(&mut self, name: &str, text: &str) {
        match month(text) {
            Some(month) => self.push(field::EXPIRY, month),
            None => self.custom(name, text, false),
        }
    }

    /// Whether the item has a well-known field of this name.
    pub fn has(&self, name: &str) -> bool {
        self.fields
            .iter()
            .any(|own| !own.custom && own.name == name)
    }

    /// Adds a hidden field for each value in a part of JSON that has no other place, named by its keys.
    pub fn rest(&mut self, name: &str, value: Value) {
        self.nested(name, value, MAX_DEPTH);
    }

    fn nested(&mut self, name: &str, value: Value, depth: usize) {
        let under = |key: &str| {
            if name.is_empty() {
                key.to_owned()
            } else {
                format!("{name}.{key}")
            }
        };
        match value {
            Value::Null | Value::Bool(false) => {}
            Value::String(text) => self.custom(name, text, true),
            Value::Object(object) if depth > 0 => {
                for (key, value) in object {
                    self.nested(&under(&key), value, depth - 1);
                }
            }
            Value::Array(list) if depth > 0 => {
                for value in list {
                    self.nested(name, value, depth - 1);
                }
            }
            other => self.custom(name, other.to_string(), true),
        }
    }

    /// The item. One that has nothing but a note is a text.
    pub fn item(self) -> Item {
        let title = if self.title.trim().is_empty() {
            let url = self.fields.iter().find(|own| own.name == field::URL);
            url.map(|url| host(&url.value)).unwrap_or_default()
        } else {
            self.title
        };
        let name = names::joined(&self.folder, &title);
        let is_note = |own: &Field| !own.custom && own.name == field::NOTE;
        let mut item = match self.fields.as_slice() {
            [note] if is_note(note) && matches!(self.kind.as_str(), "" | "note") => {
                Item::text(name, &note.value, self.modified_ms)
            }
            fields => {
                let kind = if self.kind.is_empty() {
                    "login"
                } else {
                    &self.kind
                };
                let mut record = Record::new(kind);
                record.fields = fields.to_vec();
                Item::record(name, &record, self.modified_ms)
            }
        };
        item.tags = self.tags;
        item.attachments = self.attachments;
        item.losses = self.losses;
        if self.is_favourite {
            item.mark_favourite();
        }
        item
    }
}

/// Folders that are listed with the id of the folder above.
#[derive(Debug, Default)]
pub struct Folders(HashMap<String, (String, String)>);

impl Folders {
    /// Deepest nesting: ids may be in a circle.
    const MAX_DEPTH: usize = 32;

    /// Adds a folder.
    pub fn add(&mut self, id: String, title: String, above: String) {
        self.0.insert(id, (title, above));
    }

    /// The path of a folder; empty if there is none of this id.
    pub fn path(&self, id: &str) -> String {
        let mut folder = self.0.get(id);
        let mut titles = Vec::new();
        while let Some((title, above)) = folder.filter(|_| titles.len() < Self::MAX_DEPTH) {
            titles.push(names::component(title));
            folder = self.0.get(above);
        }
        titles.reverse();
        titles.join("/")
    }
}

/// The host of a URL, as the name of an item.
pub fn host(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    names::component(host)
}

/// A folder whose names are separated by this character.
pub fn folder(path: &str, separator: char) -> String {
    let parts = path.split(separator).filter(|part| !part.is_empty());
    parts.map(names::component).collect::<Vec<_>>().join("/")
}

/// The month `YYYY-MM` of `MM/YY`, `MM/YYYY`, `MM-YYYY`, `YYYY-MM` or `YYYY/MM`.
pub fn month(text: &str) -> Option<String> {
    let (one, other) = text.trim().split_once(['/', '-', '.'])?;
    let (month, year) = if one.len() == 4 {
        (other, one)
    } else {
        (one, other)
    };
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(month) || !digits(year) {
        return None;
    }
    let month = month
        .parse()
        .ok()
        .filter(|month: &u8| (1..=12).contains(month))?;
    match year.len() {
        2 => Some(format!("20{year}-{month:02}")),
        4 => Some(format!("{year}-{month:02}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn months_are_written_as_cards_have_them() {
        for text in ["03/27", "3/2027", "2027-03", "2027/3", "03-2027"] {
            assert_eq!(month(text).as_deref(), Some("2027-03"), "{text}");
        }
        for text in ["13/27", "0/27", "March 2027", "2027", "03/127", "+3/27", ""] {
            assert_eq!(month(text), None, "{text}");
        }
    }

    #[test]
    fn all_values_of_a_rest_are_fields() {
        let mut draft = Draft::default();
        let rest = json!({"a": {"b": ["x", 1, null], "c": {"d": true}}, "e": "", "f": false});
        draft.rest("", rest);
        let fields: Vec<_> = draft
            .fields
            .iter()
            .map(|own| (&*own.name, &*own.value))
            .collect();
        assert_eq!(fields, [("a.b", "x"), ("a.b", "1"), ("a.c.d", "true")]);
        let mut draft = Draft::default();
        let deep = (0..20).fold(json!("x"), |inner, _| json!({"a": inner}));
        draft.rest("", deep);
        assert!(draft.fields.iter().all(|own| own.value.contains('x')));
        assert_eq!(draft.fields.len(), 1);
    }

    #[test]
    fn an_item_has_a_name_and_a_kind() {
        let mut draft = Draft::default();
        draft.push(field::URL, "https://user@a.example:8443/x");
        draft.is_favourite = true;
        let item = draft.item();
        assert_eq!(
            (item.name.as_str(), item.is_favourite()),
            ("a.example", true)
        );
        let mut draft = Draft {
            title: "a/b".into(),
            folder: folder("x\\y/z\\", '\\'),
            ..Draft::default()
        };
        draft.push(field::NOTE, "text");
        let item = draft.item();
        assert_eq!(item.name, "x/y\u{2215}z/a\u{2215}b");
        assert!(item.as_record().is_none());
    }
}
