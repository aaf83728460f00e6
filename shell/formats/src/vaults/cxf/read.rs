//! From the file to items.

use std::time::Duration;

use serde::Deserialize as _;
use serde_json::{Map, Value, json};
use shared::secret::SecretBytes;

use super::accounts::Folders;
use super::{credential_types, fields, write};
use crate::format::{FormatError, Incoming, Item, Loss, Sink, Source};
use crate::input::json_stream::each;
use crate::names;
use crate::round_trip::{self, COPY, CXF, ExactCopy};

/// The version that is read.
const MAJOR: u64 = 1;
/// Most credentials of an item.
const MAX_CREDENTIALS: usize = 10_000;

/// Members of items that have a place here.
const KNOWN: [&str; 7] = [
    "title",
    "modifiedAt",
    "creationAt",
    "favorite",
    "tags",
    "scope",
    "credentials",
];

/// Reads all items.
///
/// # Errors
/// [`FormatError`]: another version, or another shape; those of `sink`.
pub fn all(source: &Source, sink: &mut Sink<'_>) -> Result<(), FormatError> {
    let mut has_version = false;
    let path = ["version", "major"];
    each(source.text()?, &path, &mut |major: u64| {
        has_version = true;
        if major == MAJOR {
            return Ok(());
        }
        let text =
            format!("the file is version {major} of CXF, but this program reads version {MAJOR}");
        Err(FormatError::unsupported(text))
    })?;
    if !has_version {
        return Err(FormatError::malformed(
            "the file does not state its version of CXF",
        ));
    }
    let folders = Folders::read(source)?;
    for loss in &folders.losses {
        sink(Incoming::Lost(loss.clone()))?;
    }
    // The account of each item, in the order of the file.
    let accounts = folders.accounts.iter().enumerate();
    let mut accounts =
        accounts.flat_map(|(number, (_, items))| std::iter::repeat_n(number, *items));
    let path = ["accounts", "*", "items", "*"];
    each(source.text()?, &path, &mut |item: Map<String, Value>| {
        let account = accounts.next().unwrap_or_default();
        let id = item.get("id").and_then(Value::as_str).unwrap_or_default();
        let (folder, others) = folders.of(account, id);
        let credentials = item.get("credentials").and_then(Value::as_array);
        if credentials.is_some_and(|all| all.len() > MAX_CREDENTIALS) {
            let title = item.get("title").and_then(Value::as_str);
            let name = names::joined(&folder, title.unwrap_or_default());
            let text = format!("it has more than {MAX_CREDENTIALS} credentials");
            return sink(Incoming::Lost(Loss::new(name, text)));
        }
        let mut read = item_in(&folder, &item);
        for other in others {
            read.losses
                .push(format!("its place in the folder `{other}` as well"));
        }
        sink(Incoming::Item(Box::new(read)))
    })
}

/// The members of an item that are kept beside its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    Nothing,
    /// Members of the item itself.
    Item,
    /// Also the member that each field was.
    All,
}

/// An item of a collection, with as few kept members as a lossless export needs.
pub fn item_in(folder: &str, given: &Map<String, Value>) -> Item {
    let (given, ours) = without_ours(given);
    if let Some(item) = ours.and_then(|ours| exact(folder, &given, &ours)) {
        return item;
    }
    for keep in [Keep::Nothing, Keep::Item] {
        let item = item(folder, &given, keep);
        if write::compose(&item) == given {
            return item;
        }
    }
    let mut item = item(folder, &given, Keep::All);
    let lost = lost(&given, &write::compose(&item));
    item.losses.extend(lost);
    item
}

/// Members of an item that the export would change.
fn lost(given: &Map<String, Value>, again: &Map<String, Value>) -> Vec<String> {
    let differing = given.iter().filter(|(key, value)| match again.get(*key) {
        Some(again) => ordered(again) != ordered(value),
        None => !value.is_null(),
    });
    let text = |key: &String| format!("`{key}` as the file has it: not all of it has a place here");
    differing.map(|(key, _)| text(key)).collect()
}

/// A member without the order of fields, in which exports put unknown members first, and with the list of
/// addresses that a scope must have.
fn ordered(value: &Value) -> Value {
    let mut value = value.clone();
    if let Some(scope) = value.as_object_mut() {
        scope.entry("urls").or_insert_with(|| json!([]));
    }
    for credential in value.as_array_mut().into_iter().flatten() {
        if let Some(Value::Array(fields)) = credential.get_mut("fields") {
            fields.sort_by_cached_key(Value::to_string);
        }
    }
    value
}

/// The item without our extension, and the extension.
fn without_ours(given: &Map<String, Value>) -> (Map<String, Value>, Option<Value>) {
    let mut given = given.clone();
    let is_ours = |one: &Value| one.get("name").is_some_and(|name| name == COPY);
    let Some(Value::Array(extensions)) = given.get_mut("extensions") else {
        return (given, None);
    };
    let place = extensions.iter().position(is_ours);
    let ours = place.map(|place| extensions.remove(place));
    if extensions.is_empty() && ours.is_some() {
        given.remove("extensions");
    }
    (given, ours)
}

/// The item of the exact copy, if the rest is as composed from it.
fn exact(folder: &str, given: &Map<String, Value>, copy: &Value) -> Option<Item> {
    let copy = ExactCopy::deserialize(copy).ok()?;
    let mut item = item(folder, given, Keep::Nothing);
    item.content_type = copy.content_type;
    item.note = copy.note;
    item.versions.first_mut()?.value = copy.value.0;
    // The time of creation belongs to an earlier version, which the file does not have.
    let without_time = |mut given: Map<String, Value>| {
        given.remove("creationAt");
        given
    };
    round_trip::accept(item, &without_time(given.clone()), |item| {
        without_time(write::compose(item))
    })
}

fn item(folder: &str, given: &Map<String, Value>, keep: Keep) -> Item {
    let text = |key: &str| given.get(key).and_then(Value::as_str);
    let time = |key: &str| {
        let stated = given.get(key)?;
        // Whole seconds, but not in the files of all.
        let since = stated.as_u64().map(Duration::from_secs);
        let since = since.or_else(|| Duration::try_from_secs_f64(stated.as_f64()?).ok())?;
        u64::try_from(since.as_millis()).ok()
    };
    let modified = time("modifiedAt").or_else(|| time("creationAt"));
    let name = names::joined(folder, text("title").unwrap_or_default());
    let rest = match keep {
        Keep::Nothing => Map::new(),
        Keep::Item | Keep::All => rest(given, &name),
    };
    let mut read =
        match bare(given).filter(|_| keep != Keep::All && round_trip::fits_in_metadata(&rest)) {
            Some(Bare::Note(note)) => Item::text(&name, note, modified),
            Some(Bare::Password(password)) => {
                let value = SecretBytes::from(password.as_bytes());
                Item::plain(&name, value, modified)
            }
            None => {
                let (record, losses) = fields::record(given, &rest, keep == Keep::All);
                let mut item = Item::record(&name, &record, modified);
                item.losses = losses;
                item
            }
        };
    if !read.is_record() {
        round_trip::keep_in_metadata(&mut read, CXF, &rest);
    }
    let tags = given.get("tags").and_then(Value::as_array);
    let tags = tags.into_iter().flatten().filter_map(Value::as_str);
    read.tags = tags.map(str::to_owned).collect();
    if given.get("favorite").and_then(Value::as_bool) == Some(true) {
        read.mark_favourite();
    }
    read
}

/// The members of an item that have no field.
fn rest(given: &Map<String, Value>, name: &str) -> Map<String, Value> {
    let mut rest = given.clone();
    rest.retain(|key, _| !KNOWN.contains(&key.as_str()));
    if let Some(created) = given.get("creationAt") {
        rest.insert("creationAt".into(), created.clone());
    }
    // Empty members are kept as they are.
    let is_nothing = |value: &Value| match value {
        Value::Array(list) => list.is_empty(),
        Value::Bool(is_so) => !is_so,
        _ => value.is_null(),
    };
    for key in ["favorite", "tags"] {
        if let Some(value) = given.get(key).filter(|value| is_nothing(value)) {
            rest.insert(key.into(), value.clone());
        }
    }
    if let Some(title) = given.get("title")
        && title.as_str() != Some(&*write::title(name))
    {
        // Counts as long as the item has the name that it came with.
        rest.insert("title".into(), json!([title, name]));
    }
    if let Some(scope) = given.get("scope").and_then(Value::as_object) {
        let mut scope = scope.clone();
        scope.remove("urls");
        rest.insert("scope".into(), Value::Object(scope));
    }
    rest
}

/// The value of an item that has no fields.
enum Bare<'a> {
    Note(&'a str),
    Password(&'a str),
}

fn bare(given: &Map<String, Value>) -> Option<Bare<'_>> {
    let [Value::Object(credential)] = given.get("credentials")?.as_array()?.as_slice() else {
        return None;
    };
    if credential.len() != 2 || given.contains_key("scope") {
        return None;
    }
    match credential.get("type")?.as_str()? {
        credential_types::GENERATED => Some(Bare::Password(credential.get("password")?.as_str()?)),
        credential_types::NOTE => {
            let content = credential.get("content")?.as_object()?;
            let is_plain =
                content.len() == 2 && content.get("fieldType")? == credential_types::STRING;
            let text = content.get("value")?.as_str()?;
            is_plain.then_some(Bare::Note(text))
        }
        _ => None,
    }
}
