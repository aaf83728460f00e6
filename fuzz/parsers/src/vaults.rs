//! Vaults of other programs. What comes of them can be stored and read again by every device, and goes out again.

use keyshell::formats::cxf::Cxf;
use keyshell::formats::item::Item;
use keyshell::formats::keepass::{self, Kdbx, KeePassXml};
use keyshell::formats::pass::text;
use keyshell::formats::source::Source;
use keyshell::formats::{Choices, Incoming, VaultFormat, Written};
use shared::secret::SecretBytes;

use crate::cursor::Cursor;
use crate::imports::{Answers, vault};

/// By the first byte: CXF, XML of KeePass, a whole database, the inside of one, a text of `pass`.
pub(crate) fn vaults(data: &[u8]) {
    let mut script = Cursor::new(data);
    let kind = script.choice(5);
    let bytes = script.rest();
    match kind {
        0 => {
            vault(&Cxf, bytes);
            exchanged(bytes);
        }
        1 => vault(&KeePassXml, bytes),
        2 => vault(&Kdbx, bytes),
        3 => {
            let _ = keepass::inside(SecretBytes::from(bytes), &mut |_| Ok(()));
        }
        _ => {
            let item = text::parse("x", &SecretBytes::from(bytes), None);
            let again = text::write(&item);
            // A line of ours that says nothing more than the rest is not written again.
            let has_ours = bytes.windows(10).any(|part| part == b"keyshell: ");
            assert!(has_ours || again.expose() == bytes);
            assert_eq!(text::parse("x", &again, None), item);
        }
    }
}

fn items(bytes: &[u8]) -> Option<Vec<Item>> {
    let source = Source::memory(SecretBytes::from(bytes), "");
    let mut items = Vec::new();
    let read = Cxf.read(&source, &Answers(Choices::default()), &mut |incoming| {
        if let Incoming::Item(item) = incoming {
            items.push(*item);
        }
        Ok(())
    });
    read.ok().map(|()| items)
}

/// Whatever came in goes out and comes in again.
fn exchanged(bytes: &[u8]) {
    let Some(read) = items(bytes) else {
        return;
    };
    let (written, _) = Cxf.write(&read, &Answers(Choices::default())).unwrap();
    let Written::File(written) = written else {
        panic!("a file");
    };
    let again = items(written.expose()).expect("what we write can be read");
    assert_eq!(again.len(), read.len());
}
