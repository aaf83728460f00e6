//! KeePass: its database (KDBX 4, <https://keepass.info/help/kb/kdbx.html>) and its XML export.
//!
//! The container is read and written here, on the primitives that this program has anyway (`argon2`, `aes`, `cbc`,
//! `chacha20`, `hmac`), and not with the crate `keepass`: that one inflates without a bound, descends as deep as groups
//! nest, drops elements that it does not know, and forgets the order of fields. A file of a stranger must not be able to
//! fill the memory or end the process, and what comes in goes out again.
//!
//! Entries are records, groups are folders, history is earlier versions. What KeePass has no place for (the media type of
//! a value, headings of fields) goes out in the entry's custom data, under `keyshell`, where it counts as long as the
//! entry itself is as we wrote it.

mod composite;
mod container;
mod differences;
mod entry;
mod fields;
mod header;
mod kdf;
mod read;
mod stream;
mod strings;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
mod tree;
mod write;
mod xml;

use shared::secret::SecretBytes;

use crate::format::{Ask, FormatError, Item, Loss, Peek, Sink, Source, VaultFormat, Written};
use crate::round_trip::KDBX;

/// Longest file, in bytes.
const MAX_FILE: u64 = 256 * 1024 * 1024;

/// The database.
pub struct Kdbx;

impl VaultFormat for Kdbx {
    fn name(&self) -> &'static str {
        KDBX
    }

    fn about(&self) -> &'static str {
        "a KeePass database (KDBX 4) under a passphrase: groups, history, attachments, tags, times"
    }

    fn recognises(&self, _: &Source, peek: &Peek) -> bool {
        peek.head.starts_with(header::MAGIC)
    }

    fn read(&self, source: &Source, ask: &dyn Ask, sink: &mut Sink<'_>) -> Result<(), FormatError> {
        let file = source.bytes(MAX_FILE)?;
        // Says what is wrong with its parameters before anybody is asked.
        let header = header::Header::parse(file.expose())?;
        let plain = container::open(&file, &header, &ask.passphrase()?)?;
        inside(plain, sink)
    }

    fn is_written(&self) -> bool {
        true
    }

    fn is_sealed(&self) -> bool {
        true
    }

    fn write(&self, items: &[Item], ask: &dyn Ask) -> Result<(Written, Vec<Loss>), FormatError> {
        let (document, losses) = write::document(items);
        let file = container::seal(&document, &ask.new_passphrase()?)?;
        Ok((Written::File(file), losses))
    }
}

/// Reads what is in a database that was opened: its inner header and its XML.
///
/// # Errors
/// [`FormatError`]; those of `sink`.
pub fn inside(plain: SecretBytes, sink: &mut Sink<'_>) -> Result<(), FormatError> {
    let mut inner = container::Inner::parse(plain)?;
    let xml = inner.plain.expose().get(inner.xml_at..).unwrap_or_default();
    let tree = tree::parse(xml, Some(&mut inner.stream))?;
    read::all(tree, inner.binaries, sink)
}

/// The XML export of KeePass 2.
pub struct KeePassXml;

impl VaultFormat for KeePassXml {
    fn name(&self) -> &'static str {
        "keepass-xml"
    }

    fn about(&self) -> &'static str {
        "the XML export of KeePass 2 and KeePassXC: groups, history, attachments, tags, times"
    }

    fn recognises(&self, _: &Source, peek: &Peek) -> bool {
        let head = String::from_utf8_lossy(&peek.head);
        head.trim_start_matches('\u{feff}').starts_with('<') && head.contains("<KeePassFile")
    }

    fn read(&self, source: &Source, _: &dyn Ask, sink: &mut Sink<'_>) -> Result<(), FormatError> {
        let file: SecretBytes = source.bytes(MAX_FILE)?;
        let tree = tree::parse(file.expose(), None)?;
        read::all(tree, Vec::new(), sink)
    }
}
