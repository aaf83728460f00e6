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

mod accounts;
mod composite;
mod credential_types;
mod fields;
mod read;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
mod write;

use crate::format::VaultFormat;
use crate::round_trip::CXF;

/// The format.
pub const FORMAT: VaultFormat = VaultFormat {
    write: Some(|items, _| write::all(items)),
    ..VaultFormat::new(
        CXF,
        "FIDO's Credential Exchange Format 1.0 as JSON: all kinds of items, with tags and collections",
        |_, peek| peek.has_keys(&["version", "exporterRpId", "accounts"]),
        |source, _, sink| read::all(source, sink),
    )
};
