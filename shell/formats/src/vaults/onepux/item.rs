//! From an item of the JSON to an item of ours with its attachments.

use serde_json::Value;
use shared::secret::SecretBytes;

use super::categories;
use crate::model::item::{Item, ItemVersion, Loss};
use crate::model::record::{Field, Record, field};
use crate::names;
use crate::round_trip::{self, ONEPUX};
use crate::vaults::members::{
    Object, is_blank, take_each, take_list, take_object, take_text, take_time, text, time,
};

/// The tag of archived items.
const ARCHIVED: &str = "archived";
/// Members that the program computes from other members.
const WORKED_OUT: [&str; 5] = ["subtitle", "ainfo", "ps", "pbe", "pgrng"];
/// Most earlier passwords of an item.
const MAX_HISTORY: usize = 1000;
/// Most bytes of the versions of an item: each version repeats the whole record.
const MAX_VERSIONS: usize = 32 * 1024 * 1024;

/// The place of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The file with this id.
    Id(String),
    /// The file at this path in the zip.
    Path(String),
}

/// An attached file.
pub struct Wanted {
    /// The name.
    pub name: String,
    /// The place in the zip.
    pub place: Place,
}

/// An item that is being read.
pub struct Reading {
    /// The category.
    pub category: String,
    /// The record that is filled.
    pub record: Record,
    /// The files.
    pub files: Vec<Wanted>,
}

/// Reads an item of a folder.
///
/// # Errors
/// [`Loss`] for an item that is not imported.
pub fn item(folder: &str, given: Object) -> Result<(Item, Vec<Wanted>), Loss> {
    let (mut given, files) = unwrapped(given);
    let mut overview = take_object(&mut given, "overview");
    let mut details = take_object(&mut given, "details");
    let title = take_text(&mut overview, "title").unwrap_or_default();
    let name = names::joined(folder, &title);
    let state = take_text(&mut given, "state").unwrap_or_default();
    if state == "trashed" || given.remove("trashed") == Some(Value::Bool(true)) {
        return Err(Loss::new(name, "it is in the trash"));
    }
    let mut tags = tags(&mut overview);
    match state.as_str() {
        "" | "active" => {}
        ARCHIVED => tags.push(ARCHIVED.into()),
        _ => {
            given.insert("state".into(), state.into());
        }
    }
    let is_favourite = favourite(&mut given);
    let category = take_text(&mut given, "categoryUuid").unwrap_or_default();
    let kind = categories::kind(&category);
    if kind.is_none() {
        given.insert("categoryUuid".into(), category.clone().into());
    }
    let modified = take_time(&mut given, "updatedAt");
    let modified = modified.or_else(|| given.get("createdAt").and_then(time));
    let history = take_list(&mut details, "passwordHistory");
    let mut reading = Reading {
        category,
        record: Record::new(kind.unwrap_or(categories::OTHER)),
        files,
    };
    let note = reading.fields(&mut overview, &mut details);
    let kept = kept(given, overview, details);
    let mut item = reading.item(&name, note, kept, modified);
    add_history(&mut item, &reading.record, history);
    item.tags = tags;
    if is_favourite {
        item.mark_favourite();
    }
    Ok((item, reading.files))
}

/// Older versions have the item as a member, and its file beside it.
fn unwrapped(mut given: Object) -> (Object, Vec<Wanted>) {
    let mut file = take_object(&mut given, "file");
    let mut inner = take_object(&mut given, "item");
    for (key, value) in given {
        inner.entry(key).or_insert(value);
    }
    let mut attributes = take_object(&mut file, "attrs");
    let name = take_text(&mut attributes, "name");
    let path = take_text(&mut file, "path").filter(|path| !path.is_empty());
    let wanted = path.map(|path| Wanted {
        name: name.unwrap_or_else(|| "file".into()),
        place: Place::Path(path),
    });
    (inner, wanted.into_iter().collect())
}

/// Removes the tags; other elements of the list stay.
fn tags(overview: &mut Object) -> Vec<String> {
    let mut tags = Vec::new();
    let mut odd = Vec::new();
    for tag in take_list(overview, "tags") {
        match tag {
            Value::String(tag) => tags.push(tag),
            other => odd.push(other),
        }
    }
    if !odd.is_empty() {
        overview.insert("tags".into(), odd.into());
    }
    tags
}

/// Removes the mark of favourites; the position among several stays.
fn favourite(given: &mut Object) -> bool {
    let index = given.get("favIndex").and_then(Value::as_u64);
    if matches!(index, Some(0 | 1)) {
        given.remove("favIndex");
    }
    index.is_some_and(|index| index > 0)
}

/// The members that are kept: those without a field.
fn kept(mut given: Object, mut overview: Object, details: Object) -> Object {
    for key in WORKED_OUT {
        overview.remove(key);
    }
    for (key, mut rest) in [("overview", overview), ("details", details)] {
        rest.retain(|_, value| !is_blank(value));
        if !rest.is_empty() {
            given.insert(key.into(), Value::Object(rest));
        }
    }
    given.retain(|_, value| !is_blank(value));
    given
}

impl Reading {
    /// Removes all fields but the note, which is returned.
    fn fields(&mut self, overview: &mut Object, details: &mut Object) -> String {
        take_each(details, "loginFields", |login| match login {
            Value::Object(login) => {
                self.login_field(login);
                None
            }
            other => Some(other),
        });
        let password = take_text(details, "password");
        self.record
            .push(field::PASSWORD, password.unwrap_or_default());
        self.urls(overview);
        take_each(details, "sections", |section| match section {
            Value::Object(section) => Some(Value::Object(self.section(section))),
            other => Some(other),
        });
        let document = take_object(details, "documentAttributes");
        if !document.is_empty() {
            self.file(document);
        }
        take_text(details, "notesPlain").unwrap_or_default()
    }

    /// A field of a form on a page.
    fn login_field(&mut self, mut login: Object) {
        let value = login.remove("value").unwrap_or_default();
        let name = take_text(&mut login, "name").unwrap_or_default();
        let id = take_text(&mut login, "id").unwrap_or_default();
        let kind = take_text(&mut login, "fieldType").unwrap_or_default();
        let designation = take_text(&mut login, "designation").unwrap_or_default();
        // An address of mail that stands for another is an object.
        let value = match value {
            Value::Object(mut object) => {
                let address = take_text(&mut object, "email_address");
                match address.or_else(|| take_text(&mut object, "string")) {
                    Some(text) => {
                        login.extend(object);
                        text
                    }
                    None if object.is_empty() => String::new(),
                    None => Value::Object(object).to_string(),
                }
            }
            Value::Null => String::new(),
            other => text(other),
        };
        if value.is_empty() {
            return;
        }
        let agreed = match designation.to_ascii_lowercase().as_str() {
            "username" => Some(field::USERNAME),
            "password" => Some(field::PASSWORD),
            _ => None,
        };
        let own = if name.is_empty() { &id } else { &name };
        let mut beside = |key: &str, value: &str| {
            if !value.is_empty() {
                login.insert(key.into(), value.into());
            }
        };
        if agreed.is_some_and(|agreed| agreed != name) {
            beside("name", &name);
        }
        if id != *own || agreed.is_some() {
            beside("id", &id);
        }
        if agreed.is_none() {
            beside("designation", &designation);
        }
        let is_usual = matches!((agreed, kind.as_str()), (_, "T") | (Some(_), "P" | "E"));
        if !is_usual {
            beside("fieldType", &kind);
        }
        login.retain(|_, value| !is_blank(value));
        let hidden = kind == "P" || agreed == Some(field::PASSWORD);
        self.record.fields.push(Field {
            custom: agreed.is_none(),
            other: round_trip::prefixed(ONEPUX, login),
            ..Field::named(agreed.unwrap_or(own), value, hidden)
        });
    }

    fn urls(&mut self, overview: &mut Object) {
        take_each(overview, "urls", |url| match url {
            Value::Object(mut url) if url.get("url").is_some_and(Value::is_string) => {
                let address = take_text(&mut url, "url").unwrap_or_default();
                url.retain(|_, value| !is_blank(value));
                self.url(address, url);
                None
            }
            other => Some(other),
        });
        let first = take_text(overview, "url").unwrap_or_default();
        if !self.record.all(field::URL).any(|url| url == first) {
            self.url(first, Object::new());
        }
    }

    fn url(&mut self, address: String, other: Object) {
        if address.is_empty() {
            return;
        }
        self.record.fields.push(Field {
            other: round_trip::prefixed(ONEPUX, other),
            ..Field::named(field::URL, address, false)
        });
    }

    /// The item, without earlier versions; a note that is nothing but text is a text.
    fn item(&mut self, name: &str, note: String, kept: Object, modified: Option<u64>) -> Item {
        let fits = round_trip::fits_in_metadata(&kept);
        if self.category == categories::NOTE && self.record.fields.is_empty() && fits {
            let mut item = Item::text(name, &note, modified);
            round_trip::keep_in_metadata(&mut item, ONEPUX, &kept);
            return item;
        }
        self.record.push(field::NOTE, note);
        self.record.keep(ONEPUX, kept);
        Item::record(name, &self.record, modified)
    }
}

/// Earlier passwords are earlier versions of the item, oldest first.
fn add_history(item: &mut Item, record: &Record, history: Vec<Value>) {
    let all = history.len();
    let former = |one: Value| {
        let Value::Object(mut one) = one else {
            return None;
        };
        let password = take_text(&mut one, "value").filter(|password| !password.is_empty())?;
        Some((one.get("time").and_then(time), password))
    };
    let mut former: Vec<(Option<u64>, String)> = history.into_iter().filter_map(former).collect();
    former.sort_by_key(|(time, _)| *time);
    let has_password = item.is_record() && record.get(field::PASSWORD).is_some();
    let newest = former.into_iter().rev();
    let newest = newest.take(if has_password { MAX_HISTORY } else { 0 });
    let mut room = MAX_VERSIONS;
    let versions = newest.map_while(|(created_ms, password)| {
        let value = with_password(record, password);
        room = room.checked_sub(value.len())?;
        Some(ItemVersion { created_ms, value })
    });
    let mut versions: Vec<_> = versions.collect();
    versions.reverse();
    if versions.len() < all {
        let lost = all - versions.len();
        item.losses.push(format!("{lost} earlier passwords"));
    }
    versions.append(&mut item.versions);
    item.versions = versions;
}

fn with_password(record: &Record, password: String) -> SecretBytes {
    let mut record = record.clone();
    let is_password = |field: &&mut Field| !field.custom && field.name == field::PASSWORD;
    if let Some(field) = record.fields.iter_mut().find(is_password) {
        field.value = password;
    }
    record.encode()
}
