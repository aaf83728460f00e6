//! KeePass: its database (KDBX 4, and KDBX 3 in, <https://keepass.info/help/kb/kdbx.html>) and its XML export.
//!
//! The container is read and written here, on the primitives that this program has anyway (`argon2`, `aes`, `cbc`,
//! `chacha20`, `hmac`), and on `twofish`, and not with the crate `keepass`: that one inflates without a bound, descends as deep as groups
//! nest, drops elements that it does not know, and forgets the order of fields. A file of a stranger must not be able to
//! fill the memory or end the process, and what comes in goes out again.
//!
//! Entries are records, groups are folders, history is earlier versions. What KeePass has no place for (the media type of
//! a value, headings of fields) goes out in the entry's custom data, under `keyshell`, where it counts as long as the
//! entry itself is as we wrote it.

mod composite;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod composite_tests;
mod container;
mod differences;
mod entry;
mod entry_read;
mod entry_write;
mod fields;
mod foreign;
mod header;
mod kdf;
pub mod key_file;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod old_tests;
mod read;
mod references;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod references_tests;
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
pub const DATABASE: VaultFormat = VaultFormat {
    write: Some(write),
    is_sealed: true,
    ..VaultFormat::new(
        KDBX,
        "a KeePass database (KDBX 4; 3 in) under a passphrase, in also with a key file: groups, history, attachments, tags, times",
        |_, peek| peek.head.starts_with(header::MAGIC),
        read,
    )
};

fn read(source: &Source, ask: &dyn Ask, sink: &mut Sink<'_>) -> Result<(), FormatError> {
    let file = source.bytes(MAX_FILE)?;
    // Parameters are checked before the passphrase is asked for.
    let header = header::Header::parse(file.expose())?;
    let stretched = source.stretched(|| {
        let key = match &ask.choices().key_file {
            None => kdf::composite(Some(&ask.passphrase()?), None),
            Some(path) => {
                let key = key_file::read(path)?;
                let passphrase = ask.passphrase_if_any()?;
                let passphrase = passphrase.as_deref().map(String::as_str);
                kdf::composite(passphrase.filter(|text| !text.is_empty()), Some(&key))
            }
        };
        let stretched = header.kdf.stretch(&key)?;
        Ok(SecretBytes::from(stretched.as_slice()))
    })?;
    walk(container::open(&file, &header, stretched.expose())?, sink)
}

fn write(items: &[Item], ask: &dyn Ask) -> Result<(Written, Vec<Loss>), FormatError> {
    let (document, losses) = write::document(items)?;
    let file = container::seal(&document, &ask.new_passphrase()?)?;
    Ok((Written::File(file), losses))
}

/// Reads a decrypted database: its inner header and its XML.
///
/// # Errors
/// [`FormatError`]; those of `sink`.
pub fn inside(plain: SecretBytes, sink: &mut Sink<'_>) -> Result<(), FormatError> {
    walk(container::Inner::parse(plain)?, sink)
}

fn walk(mut inner: container::Inner, sink: &mut Sink<'_>) -> Result<(), FormatError> {
    let xml = inner.plain.expose().get(inner.xml_at..).unwrap_or_default();
    let tree = tree::parse(xml, Some(&mut inner.stream))?;
    let stated = tree
        .child("Meta")
        .and_then(|meta| meta.text_of("HeaderHash"));
    if inner
        .header_hash
        .as_deref()
        .is_some_and(|hash| stated.is_some_and(|stated| stated != hash))
    {
        return Err(FormatError::malformed("the database's header is damaged"));
    }
    read::all(tree, inner.binaries, sink)
}

/// The XML export of KeePass 2.
pub const XML: VaultFormat = VaultFormat::new(
    "keepass-xml",
    "the XML export of KeePass 2 and KeePassXC: groups, history, attachments, tags, times",
    is_xml,
    |source, _, sink| {
        read::all(
            tree::parse(source.bytes(MAX_FILE)?.expose(), None)?,
            Vec::new(),
            sink,
        )
    },
);

fn is_xml(_: &Source, peek: &Peek) -> bool {
    let head = String::from_utf8_lossy(&peek.head);
    head.trim_start_matches('\u{feff}').starts_with('<') && head.contains("<KeePassFile")
}
