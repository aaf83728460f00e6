//! Parts of an entry that have no field: those that records keep verbatim and export again, and those that are lost.

use std::collections::{BTreeSet, HashSet};

use data_encoding::BASE64;
use serde::Deserialize as _;
use serde_json::{Map, Value, json};

use super::entry::{
    COPY_TIME, KNOWN, MAX_STRINGS, Version, expiry, says_uuid, string, strings, tags, time,
};
use super::references;
use super::tree::Element;
use crate::model::record::Record;
use crate::round_trip::{self, COPY, KDBX};

/// Deepest nesting of elements that are kept: their JSON nests twice as deep, and 128 levels of JSON are read.
const MAX_KEPT_DEPTH: usize = 40;
/// Most elements that are kept per entry, nested ones included.
const MAX_KEPT: usize = 10_000;

/// The values that our export writes for an entry of this name.
#[derive(Debug, Clone)]
pub struct Usual {
    /// The UUID, in base64.
    pub uuid: String,
    /// The time of the first version.
    pub created_ms: Option<u64>,
}

/// Keeps the parts of an entry that have no field.
pub fn keep(entry: &Element, usual: Option<&Usual>, record: &mut Record) {
    let mut map = Map::new();
    if let Some(usual) = usual {
        let uuid = entry.text_of("UUID").filter(|uuid| *uuid != usual.uuid);
        map.extend(uuid.map(|uuid| ("uuid".to_owned(), uuid.into())));
        let times = entry.child("Times");
        let created = times.and_then(|times| times.text_of("CreationTime").and_then(time));
        let seconds = usual.created_ms.map(|ms| ms / 1000);
        let created = created.filter(|created| Some(created / 1000) != seconds);
        map.extend(created.map(|created| ("created".to_owned(), created.into())));
        let title = strings(entry).find(|(key, _)| *key == "Title");
        let title = title.and_then(|(_, value)| references::of(value));
        map.extend(title.map(|title| ("title".to_owned(), title.into())));
    }
    let (elements, _) = kept(entry);
    if !elements.is_empty() {
        map.insert("elements".into(), elements.into());
    }
    record.foreign.remove(KDBX);
    record.keep(KDBX, map);
}

/// Elements of an entry that have no field and no default value.
pub fn foreign(entry: &Element) -> impl Iterator<Item = &Element> {
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
                    && !child.children.iter().any(|inner| {
                        let has_text = inner.children.iter().any(|part| !part.text.is_empty());
                        inner.name == "Association" && has_text
                    })
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

/// The elements of an entry that are kept, and whether all foreign elements are among them.
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

/// The parts of an entry that [`keep`] kept.
#[derive(Debug, Default)]
pub struct Kept {
    /// The UUID, in base64.
    pub uuid: Option<String>,
    /// The time of creation.
    pub created_ms: Option<u64>,
    /// The field reference that the title is.
    pub title: Option<String>,
    /// The elements.
    pub elements: Vec<Element>,
}

impl Kept {
    /// The parts that the record of a version keeps.
    pub fn of(version: &Version) -> Self {
        let Some(record) = version.record() else {
            return Self::default();
        };
        let mut map = record.kept(KDBX);
        let uuid = map.get("uuid").and_then(Value::as_str);
        let bytes = uuid.map(|uuid| BASE64.decode(uuid.as_bytes()));
        let is_uuid = matches!(bytes, Some(Ok(bytes)) if bytes.len() == 16);
        let uuid = uuid.filter(|_| is_uuid).map(str::to_owned);
        let created_ms = map.get("created").and_then(Value::as_u64);
        let elements = round_trip::list(map.remove("elements"));
        let elements = elements.iter().flat_map(Element::deserialize);
        Self {
            uuid,
            created_ms,
            title: map.get("title").and_then(Value::as_str).map(str::to_owned),
            elements: elements.filter_map(Element::checked).collect(),
        }
    }
}

/// The parts of an entry and its earlier versions that are neither fields nor kept.
pub fn losses(entry: &Element, former: &[&Element], is_record: bool) -> Vec<String> {
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
            says_uuid(entry, "PreviousParentGroup").is_some(),
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
    let lost = lost.map(|(_, what)| what.to_owned());
    let nowhere = keys(all(), |_, text| references::is_in(text)).into_iter();
    let nowhere = nowhere.map(|key| {
        format!("the field `{key}` has a reference to another entry, which leads nowhere")
    });
    // KeePass shows notes as they are.
    let is_filled = |key: &str, text: &str| key != "Notes" && references::has_local(text);
    let filled = keys(all(), is_filled).into_iter();
    let filled = filled.map(|key| {
        format!("the field `{key}` has a placeholder that KeePass fills in from another field")
    });
    lost.chain(nowhere).chain(filled).collect()
}

/// The keys of the strings for which `is_it` holds of the key and the text.
fn keys<'a>(
    entries: impl Iterator<Item = &'a Element>,
    is_it: impl Fn(&str, &str) -> bool,
) -> BTreeSet<&'a str> {
    let all = entries.flat_map(strings);
    let found = all.filter(|(key, value)| is_it(key, &value.text));
    found.map(|(key, _)| key).collect()
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

/// The properties of a group that are lost, each in a word or two.
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
