//! The zip with attached files: the plain JSON as `data.json`, and files as `attachments/ID OF THE ITEM/NAME`.

use serde_json::Value;

use super::{is_plain, read, write};
use crate::format::{FormatError, Incoming, Item, Loss, Sink, Source};
use crate::input::archive::{self, Archive};
use crate::round_trip::{self, BITWARDEN};

const DATA: &str = "data.json";
const FILES: &str = "attachments/";

/// Whether a file with this beginning is such a zip.
pub fn is_zip(source: &Source, head: &[u8]) -> bool {
    let data = || {
        let data = Archive::open(source)?.document(DATA)?;
        Source::memory(data, "").peek()
    };
    archive::has(source, head, &[DATA]) && data().is_ok_and(|peek| is_plain(&peek))
}

/// Reads a plain file, alone or in a zip.
///
/// # Errors
/// As [`read::all`]; those of the zip.
pub fn all(source: &Source, sink: &mut Sink<'_>) -> Result<(), FormatError> {
    if !archive::has(source, &source.peek()?.head, &[DATA]) {
        return read::all(source, sink);
    }
    let mut zip = Archive::open(source)?;
    let data = Source::memory(zip.document(DATA)?, &source.shown);
    read::all(&data, &mut |mut incoming| {
        if let Incoming::Item(item) = &mut incoming {
            attach(item, &mut zip)?;
        }
        sink(incoming)
    })?;
    for name in zip.left() {
        let loss = Loss::new(name, "a file of no item that comes in");
        sink(Incoming::Lost(loss))?;
    }
    Ok(())
}

fn attach(item: &mut Item, zip: &mut Archive<'_>) -> Result<(), FormatError> {
    let members = round_trip::foreign_members(item, BITWARDEN);
    let id = members.get("id").and_then(Value::as_str).map(str::to_owned);
    let id = id.unwrap_or_else(|| write::id_of("item", &item.name));
    let folder = format!("{FILES}{id}/");
    let names: Vec<_> = zip.under(&folder).map(str::to_owned).collect();
    for entry in names {
        let name = entry.strip_prefix(&folder).unwrap_or(&entry);
        // The reader of the JSON lists each file that the JSON names.
        let missing = format!("the attachment `{name}`, which is not in the file");
        item.losses.retain(|loss| *loss != missing);
        zip.get(&entry)?.attach(name.to_owned(), item);
    }
    Ok(())
}
