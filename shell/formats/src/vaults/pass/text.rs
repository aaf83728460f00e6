//! The text of an entry: the password, `key: value` lines, an otpauth line, a note.
//!
//! A text becomes a record only if that gives the same text again, byte for byte; anything else is the value as it is. What
//! a text does not say of an item of ours (kind, tags, what is hidden, what hangs on it) is in one more line, `keyshell: {…}`, which holds no
//! value that the text has and counts as long as the rest is as we wrote it.

use keyshell_base::text::plural;
use rmpv::Value as Kept;
use serde_json::{Map, Value, json};
use shared::secret::SecretBytes;
use zeroize::Zeroizing;

use super::gopass;
use crate::model::item::{Item, ItemVersion};
use crate::model::record::{self, Field, Record, field};
use crate::round_trip::{self, COPY, PASS};

/// The prefix of a line that is a one-time code without a key.
const OTPAUTH: &str = "otpauth://";
/// Longest key, in bytes: what is before a colon in prose is longer.
const MAX_KEY: usize = 64;

/// Most lines with the prefix of our line that are tried.
const MAX_OURS: usize = 4;

/// Ends of a line that is a whole text, as they are kept.
const NO_END: &str = "no line end";
const WINDOWS_END: &str = "line end of Windows";
/// The member that is kept of a text whose lines end as those of Windows.
const WINDOWS: &str = "windows";

/// Keys that people use for fields that formats agree upon; the first is the one that is written.
const KEYS: [(&str, &[&str]); 5] = [
    (
        field::USERNAME,
        &["username", "user", "login", "Username", "User", "Login"],
    ),
    (field::URL, &["url", "URL", "Url", "website", "link"]),
    (field::EMAIL, &["email", "Email", "e-mail"]),
    (field::TOTP, &["totp"]),
    (field::PASSWORD, &["password"]),
];

/// An attached file: the name in the folder of the item, and the name of the attachment.
pub type Link = (String, String);

/// The item of a text, and its attachments.
pub fn parse(name: &str, text: &SecretBytes, created_ms: Option<u64>) -> (Item, Vec<Link>) {
    let Ok(text) = std::str::from_utf8(text.expose()) else {
        return (Item::plain(name, text.clone(), created_ms), Vec::new());
    };
    exact(name, text, created_ms).unwrap_or_else(|| {
        let item = gopass::read(text).map(|record| Item::record(name, &record, created_ms));
        let item = item.or_else(|| structured(name, text, created_ms));
        let item = item.unwrap_or_else(|| bare(name, text, created_ms));
        (item, Vec::new())
    })
}

/// Whether every line ends with a carriage return and a line feed.
fn is_windows(text: &str) -> bool {
    let ends = text.matches("\r\n").count();
    ends > 0 && ends == text.matches('\n').count() && ends == text.matches('\r').count()
}

/// A text without structure: one line is a password, more are text.
fn bare(name: &str, text: &str, created_ms: Option<u64>) -> Item {
    let line = text.strip_suffix('\n').unwrap_or(text);
    if line.contains('\n') {
        return Item::text(name, text, created_ms);
    }
    let (line, end) = match line.strip_suffix('\r').filter(|_| is_windows(text)) {
        Some(line) => (line, Some(WINDOWS_END)),
        None => (line, (line.len() == text.len()).then_some(NO_END)),
    };
    let mut item = Item::plain(name, SecretBytes::from(line.as_bytes()), created_ms);
    item.kept
        .extend(end.map(|end| (PASS.to_owned(), Kept::from(end))));
    item
}

/// A key and a value.
fn pair(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(": ")?;
    is_key(key).then_some((key, value))
}

fn is_key(key: &str) -> bool {
    let is_short = (1..=MAX_KEY).contains(&key.len());
    is_short && key.trim() == key && !key.contains([':', '\n']) && !key.starts_with("otpauth")
}

fn structured(name: &str, text: &str, created_ms: Option<u64>) -> Option<Item> {
    let record = read(text)?;
    let item = Item::record(name, &record, created_ms);
    (*compose(&item) == *text.as_bytes()).then_some(item)
}

/// The record of a text that has at least one line with a key.
fn read(text: &str) -> Option<Record> {
    let is_windows = is_windows(text);
    let text = Zeroizing::new(if is_windows {
        text.replace("\r\n", "\n")
    } else {
        text.to_owned()
    });
    let (mut rest, mut kept) = (text.as_str(), Map::new());
    kept.extend(is_windows.then(|| (WINDOWS.to_owned(), Value::from(true))));
    match rest.strip_suffix('\n') {
        Some(without) => rest = without,
        None => kept.extend([("end".to_owned(), Value::from(""))]),
    }
    let mut record = Record::new("login");
    let (password, lines) = rest.split_once('\n')?;
    record.push(field::PASSWORD, password);
    let mut rest = Some(lines);
    let mut count = 0;
    while let Some(lines) = rest {
        let (line, behind) = match lines.split_once('\n') {
            Some((line, behind)) => (line, Some(behind)),
            None => (lines, None),
        };
        match line_field(line) {
            Some(field) => record.fields.push(field),
            None => break,
        }
        count += 1;
        rest = behind;
    }
    if count == 0 {
        return None;
    }
    if let Some(note) = rest {
        let apart = note.strip_prefix('\n');
        if apart.is_none() {
            kept.insert("note".into(), "tight".into());
        }
        let note = apart.unwrap_or(note);
        if note.is_empty() {
            return None;
        }
        record.push(field::NOTE, note);
    }
    record.keep(PASS, kept);
    Some(record)
}

pub(super) fn line_field(line: &str) -> Option<Field> {
    if line.starts_with(OTPAUTH) {
        return Some(Field::agreed(field::TOTP, line));
    }
    let (key, value) = pair(line)?;
    let known = KEYS.iter().find(|(_, keys)| keys.contains(&key));
    let Some((name, keys)) = known.filter(|_| !value.is_empty()) else {
        // A text does not state which fields are hidden.
        let mut field = Field::custom(key, value, true);
        if key == COPY {
            // Our own line is outdated: another program changed the text.
            field.other.insert(PASS.into(), key.into());
        }
        return Some(field);
    };
    let mut field = Field::agreed(name, value);
    if keys.first() != Some(&key) {
        field.other.insert(PASS.into(), key.into());
    }
    Some(field)
}

/// The text of an item: what it says alone.
fn compose(item: &Item) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(match item.as_record() {
        Some(record) => compose_record(&record, None).as_bytes().to_vec(),
        None => compose_bare(item),
    })
}

fn compose_bare(item: &Item) -> Vec<u8> {
    let value = item.newest().map(|newest| newest.value.expose().to_vec());
    let mut value = value.unwrap_or_default();
    let is_line = std::str::from_utf8(&value).is_ok_and(|text| !text.contains('\n'));
    if is_line {
        let end = item.kept.get(PASS).and_then(Kept::as_str);
        value.extend_from_slice(match end {
            Some(WINDOWS_END) => b"\r\n",
            Some(_) => b"",
            None => b"\n",
        });
    }
    value
}

/// The line of a field, unless it has none.
fn line(field: &Field) -> Option<Zeroizing<String>> {
    let value = field.value.as_str();
    if value.contains('\n') {
        return None;
    }
    if !field.custom && field.name == field::TOTP && value.starts_with(OTPAUTH) {
        return Some(Zeroizing::new(value.to_owned()));
    }
    let own = field.other.get(PASS).and_then(Value::as_str);
    let key = own.unwrap_or(&field.name);
    (is_key(key) && (key != COPY || own.is_some()))
        .then(|| Zeroizing::new(format!("{key}: {value}")))
}

/// The text of a record, and what else is to be said of it.
fn compose_record(record: &Record, ours: Option<&str>) -> Zeroizing<String> {
    let (above_note, end) = layout(record);
    let (password, note) = (password_at(record), note_at(record));
    let value = |at: Option<usize>| {
        let field = at.and_then(|at| record.fields.get(at));
        field.map_or("", |field| field.value.as_str())
    };
    let mut text = Zeroizing::new(format!("{}\n", value(password)));
    for (at, field) in record.fields.iter().enumerate() {
        if Some(at) != password
            && Some(at) != note
            && let Some(line) = line(field)
        {
            text.push_str(&line);
            text.push('\n');
        }
    }
    if let Some(ours) = ours {
        text.push_str(&Zeroizing::new(format!("{COPY}: {ours}\n")));
    }
    if note.is_some() {
        text.push_str(above_note);
        text.push_str(value(note));
        text.push('\n');
    }
    if end.is_empty() {
        text.pop();
    }
    if ours.is_none() && record.kept(PASS).contains_key(WINDOWS) {
        return Zeroizing::new(text.replace('\n', "\r\n"));
    }
    text
}

/// The text between the fields and the note of a record, and the text at the end.
fn layout(record: &Record) -> (&'static str, &'static str) {
    let kept = record.kept(PASS);
    let is_tight = kept.get("note").and_then(Value::as_str) == Some("tight");
    let above_note = if is_tight { "" } else { "\n" };
    (above_note, if kept.contains_key("end") { "" } else { "\n" })
}

/// The field that is the first line.
fn password_at(record: &Record) -> Option<usize> {
    record.fields.iter().position(|field| {
        !field.custom && field.name == field::PASSWORD && !field.value.contains('\n')
    })
}

/// The field that stands at the end.
fn note_at(record: &Record) -> Option<usize> {
    let is_note = |field: &Field| !field.custom && field.name == field::NOTE;
    record.fields.iter().position(is_note)
}

/// The losses of an item: earlier versions, and for a binary value all metadata.
pub fn losses(item: &Item) -> Vec<String> {
    let mut losses = Vec::new();
    if item.versions.len() > 1 {
        losses.push(plural(item.versions.len() - 1, "earlier version"));
    }
    if is_text(item) {
        return losses;
    }
    losses.extend(item.tags.iter().map(|tag| format!("the tag `{tag}`")));
    if !item.note.is_empty() {
        losses.push("the note beside its value".into());
    }
    losses.extend(
        item.content_type
            .iter()
            .map(|kind| format!("its media type {kind}")),
    );
    let files = item.attachments.iter();
    losses.extend(files.map(|file| format!("that the file `{}` hangs on it", file.name)));
    losses
}

fn is_text(item: &Item) -> bool {
    let newest = item.newest().map(|newest| newest.value.expose());
    std::str::from_utf8(newest.unwrap_or_default()).is_ok()
}

/// The text of an item with what hangs on it, and with our own line where it is needed.
pub fn write(item: &Item, links: &[Link]) -> SecretBytes {
    let plain = SecretBytes::from(compose(item).as_slice());
    let says_all = || links.is_empty() && comes_back(&parse(&item.name, &plain, None).0, item);
    if !is_text(item) || says_all() {
        return plain;
    }
    with_copy(item, links).unwrap_or(plain)
}

fn comes_back(read: &Item, item: &Item) -> bool {
    let sorted = |tags: &[String]| {
        let mut tags = tags.to_vec();
        tags.sort();
        tags
    };
    read.has_value_of(item) && read.note == item.note && sorted(&read.tags) == sorted(&item.tags)
}

/// The text of an item with our own line.
fn with_copy(item: &Item, links: &[Link]) -> Option<SecretBytes> {
    let mut ours = json!({"tags": item.tags});
    let map = ours.as_object_mut()?;
    if !links.is_empty() {
        map.insert("attachments".into(), json!(links));
    }
    if !item.note.is_empty() {
        map.insert("note".into(), item.note.as_str().into());
    }
    let Some(mut record) = item.as_record() else {
        let kind = item.content_type.as_deref();
        map.extend(kind.map(|kind| ("contentType".to_owned(), kind.into())));
        let mut text = compose_bare(item);
        // The line end before our line is ours.
        if !text.ends_with(b"\n") || item.newest()?.value.len() == text.len() {
            text.push(b'\n');
        }
        text.extend(format!("{COPY}: {ours}\n").into_bytes());
        return Some(SecretBytes::new(text));
    };
    let whole = record.clone();
    let (password, note) = (password_at(&record), note_at(&record));
    for (at, field) in record.fields.iter_mut().enumerate() {
        // Our line does not repeat values of the text.
        if Some(at) == password || Some(at) == note || line(field).is_some() {
            field.value.clear();
        }
    }
    map.insert("record".into(), serde_json::to_value(&record).ok()?);
    let ours = Zeroizing::new(ours.to_string());
    let text = compose_record(&whole, Some(&ours));
    Some(SecretBytes::from(text.as_bytes()))
}

/// An item of ours, if the text is as we wrote it.
fn exact(name: &str, text: &str, created_ms: Option<u64>) -> Option<(Item, Vec<Link>)> {
    let mark = format!("\n{COPY}: {{");
    // In a value without fields it is the last line; in a record it is the only one before the note.
    let places: Vec<_> = text.match_indices(&mark).map(|(at, _)| at).collect();
    let first = places.iter().take(MAX_OURS);
    places.last().into_iter().chain(first).find_map(|at| {
        let (before, line) = text.split_at_checked(at + 1)?;
        let (line, behind) = line.split_once('\n').unwrap_or((line, ""));
        let ours = line.strip_prefix(COPY)?.strip_prefix(": ")?;
        let ours: Map<String, Value> = serde_json::from_str(ours).ok()?;
        let value = match ours.get("record") {
            Some(record) => filled(record, before, behind)?.encode(),
            None => SecretBytes::from(before.strip_suffix('\n')?.as_bytes()),
        };
        let kind = ours.get("contentType").and_then(Value::as_str);
        let kind = ours.get("record").map(|_| record::CONTENT_TYPE).or(kind);
        let note = ours.get("note").and_then(Value::as_str);
        let item = Item {
            name: name.to_owned(),
            tags: serde_json::from_value(ours.get("tags")?.clone()).ok()?,
            note: note.unwrap_or_default().to_owned(),
            content_type: kind.map(str::to_owned),
            versions: vec![ItemVersion { created_ms, value }],
            ..Item::default()
        };
        let links = ours.get("attachments").cloned();
        let links = links.map_or(Ok(Vec::new()), serde_json::from_value).ok()?;
        let text = Some(SecretBytes::from(text.as_bytes()));
        round_trip::accept((item, links), &text, |(item, links)| with_copy(item, links))
    })
}

/// A record with the values that the text has.
fn filled(record: &Value, before: &str, behind: &str) -> Option<Record> {
    let mut record: Record = serde_json::from_value(record.clone()).ok()?;
    let mut lines = before.strip_suffix('\n')?.split('\n');
    let first = lines.next()?;
    let (password, note) = (password_at(&record), note_at(&record));
    let (above_note, end) = layout(&record);
    for (at, field) in record.fields.iter_mut().enumerate() {
        if Some(at) == password {
            first.clone_into(&mut field.value);
        } else if Some(at) == note {
            let note = behind.strip_prefix(above_note);
            let note = note.and_then(|note| note.strip_suffix(end));
            note.unwrap_or_default().clone_into(&mut field.value);
        } else if field.value.is_empty() && line(field).is_some() {
            let line = lines.next()?;
            let is_code = !field.custom && field.name == field::TOTP && line.starts_with(OTPAUTH);
            let value = if is_code { line } else { pair(line)?.1 };
            value.clone_into(&mut field.value);
        }
    }
    Some(record)
}
