//! The differences between an item and the item that its own export is read as.

use serde_json::Value;

use crate::model::item::{Item, ItemVersion};
use crate::model::record::Record;
use crate::round_trip::KDBX;

/// The parts of an item that are not the same in `again`, each as a short phrase.
pub fn differences(item: &Item, again: &Item) -> Vec<String> {
    let mut lost = Vec::new();
    let mut check = |is_same: bool, what: &str| {
        if !is_same {
            lost.push(what.to_owned());
        }
    };
    check(item.name == again.name, "its name");
    check(item.note == again.note, "the note beside its value");
    check(
        item.content_type == again.content_type,
        "the media type of its value",
    );
    let tags = |item: &Item| {
        let mut tags = item.tags.clone();
        tags.sort();
        tags
    };
    check(tags(item) == tags(again), "its tags");
    check(item.attachments == again.attachments, "its attachments");
    check(
        item.versions.len() == again.versions.len(),
        "how many versions it has",
    );
    let newest = item.versions.len();
    let pairs = (1..).zip(item.versions.iter().zip(&again.versions));
    for (number, (version, other)) in pairs {
        let is_same_time = version.created_ms.is_none() || version.created_ms == other.created_ms;
        check(is_same_time, &format!("the time of version {number}"));
        let pair = ((item, version), (again, other));
        if let Some(what) = of_values(pair, number == newest) {
            check(false, &format!("{what} version {number}"));
        }
    }
    lost.extend(again.losses.iter().cloned());
    lost
}

/// A version of an item.
type Place<'a> = (&'a Item, &'a ItemVersion);

/// The difference between two values.
fn of_values((one, other): (Place<'_>, Place<'_>), is_newest: bool) -> Option<&'static str> {
    let record = |(item, version): Place<'_>| item.record_of(version);
    let (Some(mut record), Some(mut again)) = (record(one), record(other)) else {
        return (one.1.value != other.1.value).then_some("the value of");
    };
    let kept = |record: &mut Record| {
        let mut kept = record.foreign.remove(KDBX);
        if let Some(Value::Object(map)) = &mut kept
            && !is_newest
        {
            // An entry has one, whatever its earlier versions say.
            map.retain(|key, _| !matches!(key.as_str(), "uuid" | "created" | "title"));
        }
        kept.filter(|kept| *kept != Value::Object(serde_json::Map::new()))
    };
    let (before, after) = (kept(&mut record), kept(&mut again));
    match () {
        () if record != again => Some("the value of"),
        () if before != after => Some("what KeePass alone has of"),
        () => None,
    }
}
