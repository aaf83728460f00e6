//! Exports of password managers that are only read: tables, JSON, and zips with either. What comes of them can be stored and
//! read again by every device.

use std::io::{Cursor as Memory, Write as _};

use keyshell_formats::source::Source;
use keyshell_formats::{Choices, VaultFormat, bitwarden, csv, enpass, keeper, onepif, proton};
use shared::secret::SecretBytes;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::cursor::Cursor;
use crate::imports::{Answers, vault};

/// The formats of this target, by the first byte of what it is given; zips with JSON or a table come after them.
pub const FORMATS: [&VaultFormat; 13] = [
    &csv::ONEPASSWORD,
    &csv::APPLE,
    &csv::KEEPASSXC,
    &csv::KEEPASS,
    &csv::PROTON,
    &csv::NORDPASS,
    &csv::DASHLANE,
    &csv::ROBOFORM,
    &csv::MAPPED,
    &proton::FORMAT,
    &enpass::FORMAT,
    &keeper::FORMAT,
    &onepif::FORMAT,
];

/// Zips, each with the name of its document.
const ZIPS: [(&VaultFormat, &str); 3] = [
    (&bitwarden::FORMAT, "data.json"),
    (&proton::FORMAT, "Proton Pass/data.json"),
    (&csv::DASHLANE, "credentials.csv"),
];

pub(crate) fn exports(data: &[u8]) {
    let mut script = Cursor::new(data);
    let kind = usize::from(script.choice(16));
    let bytes = script.rest();
    if let Some(format) = FORMATS.get(kind) {
        vault(format, bytes);
        if format.name == csv::MAPPED.name {
            mapped(bytes);
        }
    } else if let Some((format, name)) = ZIPS.get(kind - FORMATS.len()) {
        vault(format, &zipped(name, bytes));
    }
}

/// The first column as password, and the second as name.
fn mapped(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut columns = text.lines().next().unwrap_or_default().split(',');
    let uses = ["password", "name"].into_iter();
    let map = uses.filter_map(|to| Some((to.to_owned(), columns.next()?.to_owned())));
    let answers = Answers(Choices {
        map: map.collect(),
        ..Choices::default()
    });
    let source = Source::memory(SecretBytes::from(bytes), "");
    let _ = csv::MAPPED.read(&source, &answers, &mut |_| Ok(()));
}

/// A zip with this document, and a file.
fn zipped(name: &str, document: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Memory::new(Vec::new()));
    for (name, content) in [(name, document), ("attachments/1/x", b"c")] {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}
