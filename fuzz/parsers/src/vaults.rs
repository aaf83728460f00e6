//! Vaults of other programs. What comes of them can be stored and read again by every device, and goes out again.

use std::io::{Cursor as Memory, Write as _};

use keyshell_formats::item::Item;
use keyshell_formats::pass::text;
use keyshell_formats::source::Source;
use keyshell_formats::{
    Choices, Incoming, VaultFormat, Written, cxf, dotenv, keepass, onepux, vault_kv,
};
use shared::secret::SecretBytes;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::cursor::Cursor;
use crate::imports::{Answers, vault};

/// By the first byte: CXF, XML of KeePass, a whole database, the inside of one, a text of `pass`, an export of 1Password,
/// the JSON in one, an answer of Vault, a file of variables.
pub(crate) fn vaults(data: &[u8]) {
    let mut script = Cursor::new(data);
    let kind = script.choice(9);
    let bytes = script.rest();
    match kind {
        0 => {
            vault(&cxf::FORMAT, bytes);
            exchanged(bytes);
        }
        1 => vault(&keepass::XML, bytes),
        2 => vault(&keepass::DATABASE, bytes),
        3 => {
            let _ = keepass::inside(SecretBytes::from(bytes), &mut |_| Ok(()));
        }
        4 => {
            let read = text::parse("x", &SecretBytes::from(bytes), None);
            let again = text::write(&read.0, &read.1);
            // A line of ours that says nothing more than the rest is not written again, and gopass's forms become those
            // of pass.
            let has = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
            let is_other = has(b"keyshell: ") || has(b"---") || bytes.starts_with(b"GOPASS-");
            assert!(is_other || again.expose() == bytes);
            assert_eq!(text::parse("x", &again, None), read);
        }
        5 => vault(&onepux::FORMAT, bytes),
        6 => vault(&onepux::FORMAT, &export(bytes)),
        7 => vault(&vault_kv::FORMAT, bytes),
        _ => {
            vault(&dotenv::FORMAT, bytes);
            variables(bytes);
        }
    }
}

fn items(format: &VaultFormat, bytes: &[u8]) -> Option<Vec<Item>> {
    let source = Source::memory(SecretBytes::from(bytes), "");
    let mut items = Vec::new();
    let read = format.read(&source, &Answers(Choices::default()), &mut |incoming| {
        if let Incoming::Item(item) = incoming {
            items.push(*item);
        }
        Ok(())
    });
    read.ok().map(|()| items)
}

/// Whatever came in goes out and comes in again.
fn exchanged(bytes: &[u8]) {
    let Some(read) = items(&cxf::FORMAT, bytes) else {
        return;
    };
    let (written, _) = cxf::FORMAT
        .write(&read, &Answers(Choices::default()))
        .unwrap();
    let Written::File(written) = written else {
        panic!("a file");
    };
    let again = items(&cxf::FORMAT, written.expose()).expect("what we write can be read");
    assert_eq!(again.len(), read.len());
}

/// A zip with this JSON, and a file; what is in it is checked by a sum that no fuzzer guesses.
pub fn export(json: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Memory::new(Vec::new()));
    for (name, content) in [("export.data", json), ("files/a__b", b"c")] {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(content).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// Whatever came in is the same when it is written in quotes.
fn variables(bytes: &[u8]) {
    let Some(read) = items(&dotenv::FORMAT, bytes) else {
        return;
    };
    let mut text = Vec::new();
    for item in &read {
        write!(text, "{}=\"", item.name).unwrap();
        for byte in item.newest().unwrap().value.expose() {
            if matches!(byte, b'"' | b'\\') {
                text.push(b'\\');
            }
            text.push(*byte);
        }
        text.extend(b"\"\n");
    }
    let again = items(&dotenv::FORMAT, &text).expect("quotes can be read");
    let pairs = |items: Vec<Item>| -> Vec<_> {
        let pairs = items.into_iter().map(|item| (item.name, item.versions));
        pairs.collect()
    };
    assert_eq!(pairs(again), pairs(read));
}
