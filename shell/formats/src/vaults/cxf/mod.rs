//! FIDO's Credential Exchange Format 1.0, as plain JSON (Proposed Standard of 2025-08-14,
//! <https://fidoalliance.org/specs/cx/cxf-v1.0-ps-20250814.html>).
//!
//! Read with maps of our own and not with types of another crate: those drop every member that they do not know, and here
//! all of them go out again. Three things make that exact:
//!
//! - An item comes in plainly, and is composed again on the spot. Only if that gives something else than the file has is
//!   the rest kept beside the fields (`foreign.cxf` of the record), and only if that is not enough does each field also
//!   note which member it was. What is kept never holds a value that is also a field: a password that is changed later
//!   does not live on in there.
//! - What CXF has no place for (the media type of a value, kinds of other formats) goes out in an extension named
//!   `keyshell`, beside members that say as much of it as CXF can. It counts only where those members are as we wrote them.
//! - Collections are folders: the first that has an item.

mod reading;
mod special;
mod table;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
mod writing;

use crate::ask::Ask;
use crate::error::FormatError;
use crate::format::{Incoming, VaultFormat, Written};
use crate::input::source::{Peek, Source};
use crate::model::item::{Item, Loss};

/// The format's name, also that of what is kept for it.
const NAME: &str = "cxf";
/// The name of our extension.
const EXTENSION: &str = "keyshell";

/// The format.
pub struct Cxf;

impl VaultFormat for Cxf {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        "FIDO's Credential Exchange Format 1.0 as JSON: all kinds of items, with tags and collections"
    }

    fn recognises(&self, _: &Source, peek: &Peek) -> bool {
        peek.has_keys(&["version", "exporterRpId", "accounts"])
    }

    fn read(
        &self,
        source: &Source,
        _: &dyn Ask,
        sink: &mut dyn FnMut(Incoming) -> Result<(), FormatError>,
    ) -> Result<(), FormatError> {
        reading::all(source, sink)
    }

    fn is_written(&self) -> bool {
        true
    }

    fn write(&self, items: &[Item], _: &dyn Ask) -> Result<(Written, Vec<Loss>), FormatError> {
        writing::all(items)
    }
}
