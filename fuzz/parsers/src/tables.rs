//! Bitwarden's JSON and the tables of logins. What comes of them can be stored and read again by every device; what goes
//! out comes in again as it was, or is listed.

use keyshell::commands::import::prepare::{Names, prepare};
use keyshell_formats::item::{Item, Loss};
use keyshell_formats::source::Source;
use keyshell_formats::{Choices, Incoming, VaultFormat, Written, bitwarden, csv};
use shared::secret::SecretBytes;

use crate::cursor::Cursor;
use crate::imports::{Answers, vault};

/// The formats of this target, by the first byte of what it is given.
pub const FORMATS: [&VaultFormat; 5] = [
    &bitwarden::FORMAT,
    &csv::BITWARDEN,
    &csv::LASTPASS,
    &csv::FIREFOX,
    &csv::CHROME,
];

/// In, and out in each of these formats that is written.
pub(crate) fn tables(data: &[u8]) {
    let mut script = Cursor::new(data);
    let kind = usize::from(script.choice(5));
    let bytes = script.rest();
    let Some(format) = FORMATS.get(kind) else {
        return;
    };
    vault(format, bytes);
    let Some(mut items) = items(format, bytes) else {
        return;
    };
    // With the names that they have here.
    items.retain_mut(|item| {
        let prepared = prepare(item.clone(), Names::Foreign, None).ok();
        let name = prepared.and_then(|(new, _)| Some(new.first()?.metadata.name.to_string()));
        name.map(|name| item.name = name).is_some()
    });
    let written = FORMATS.into_iter().filter(|format| format.is_written());
    written.for_each(|format| exchanged(format, &items));
}

fn items(format: &VaultFormat, bytes: &[u8]) -> Option<Vec<Item>> {
    let source = Source::memory(SecretBytes::from(bytes), "");
    let mut items = Vec::new();
    let answers = Answers(Choices::default());
    let read = format.read(&source, &answers, &mut |incoming| {
        if let Incoming::Item(item) = incoming {
            items.push(*item);
        }
        Ok(())
    });
    read.ok().map(|()| items)
}

fn exchanged(format: &VaultFormat, items: &[Item]) {
    // One by one: a file may have many items of one name.
    for item in items {
        let one = std::slice::from_ref(item);
        let (written, losses) = format.write(one, &Answers(Choices::default())).unwrap();
        let Written::File(written) = written else {
            panic!("a file");
        };
        let again = self::items(format, written.expose()).expect("what we write can be read");
        // What makes a formula harmless comes back.
        let is_lost = |loss: &Loss| !loss.what.contains("spreadsheet");
        if losses.iter().any(is_lost) {
            continue;
        }
        let [again] = again.as_slice() else {
            panic!("one item");
        };
        assert_eq!(again.name, item.name);
        assert_eq!(again.content_type, item.content_type);
        assert_eq!(said(again), said(item));
    }
}

/// What an item says, in an order of its own. Numbers that nobody understands are kept as nearly as JSON has them.
fn said(item: &Item) -> Said {
    let Some(record) = item.as_record() else {
        return Said::Value(item.newest().map(|newest| newest.value.clone()));
    };
    let fields = record.fields.into_iter();
    let mut fields: Vec<_> = fields
        .map(|field| (field.custom, field.name, field.value, field.hidden))
        .collect();
    fields.sort();
    Said::Fields(fields)
}

#[derive(Debug, PartialEq)]
enum Said {
    Value(Option<SecretBytes>),
    Fields(Vec<(bool, String, String, bool)>),
}
