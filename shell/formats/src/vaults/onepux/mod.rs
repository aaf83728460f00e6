//! 1Password's export (1PUX, <https://support.1password.com/1pux-format/>): a zip with the JSON `export.data` and the
//! contents of files.
//!
//! Vaults are folders where there are several, and accounts above them. A section's fields come in under the names that
//! formats agree upon where they are of a kind of item that has them (see `categories`), and else as the owner's own, with
//! the section as heading. What else a member says is kept under `foreign.1pux` of the record, and of a field beside it as
//! `1pux-...`; but neither fields and sections without a value, nor how the program shows a field (`inputTraits` and the
//! like, where they are as usual), nor what it works out from others (subtitles, the strength of passwords).
//!
//! The JSON is read one item at a time, and files are not written anywhere: no name in the zip is ever one in a folder.

mod categories;
mod item;
mod read;
mod section;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;

use serde_json::{Map, Value};

use crate::format::{Item, Loss, VaultFormat};
use crate::input::archive;
use crate::round_trip::ONEPUX;

/// The entry of the JSON document.
const DATA: &str = "export.data";
/// The entry with the version of the format and the time of the export.
const ATTRIBUTES: &str = "export.attributes";
/// The folder of files.
const FILES: &str = "files/";

/// The format.
pub const FORMAT: VaultFormat = VaultFormat::new(
    ONEPUX,
    "1Password's export (1PUX): all kinds of items, with files, tags, history, vaults, favourites",
    |source, peek| archive::has(source, &peek.head, &[DATA, ATTRIBUTES, FILES]),
    |source, _, sink| read::all(source, sink),
);

/// Reads an item of a folder; also returns the names of its files.
///
/// # Errors
/// [`Loss`] for an item that is not imported.
pub fn item(folder: &str, given: Map<String, Value>) -> Result<(Item, Vec<String>), Loss> {
    let (item, files) = item::item(folder, given)?;
    Ok((item, files.into_iter().map(|file| file.name).collect()))
}
