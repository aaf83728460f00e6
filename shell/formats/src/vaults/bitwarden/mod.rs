//! Bitwarden's JSON of a vault: plain, as `bw export --format json` and the apps write it, alone or in a zip with attached
//! files; and sealed with a password.
//!
//! An item's `type` is its kind: 1 login, 2 secure note, 3 card, 4 identity, 5 SSH key, 6 bank account, 7 driver's licence,
//! 8 passport. What the shape below does not
//! name is kept under `foreign.bitwarden` of the record, or in the metadata of a value without fields, and goes out again.
//!
//! An item that Bitwarden's members do not say exactly (a value without fields, kinds and fields of other formats) goes
//! out with one more member, `keyshell`, which Bitwarden passes over. It counts only where the others are as we wrote
//! them: what was changed there since is what holds.

mod encrypted;
mod foreign;
mod history;
mod passkey;
mod read;
mod schema;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;
mod write;
mod zipped;

pub use encrypted::ENCRYPTED;

use crate::format::{Peek, VaultFormat};
use crate::round_trip::BITWARDEN;

/// The plain format.
pub const FORMAT: VaultFormat = VaultFormat {
    write: Some(|items, _| write::all(items)),
    ..VaultFormat::new(
        BITWARDEN,
        "Bitwarden's JSON: logins with passkeys and history, notes, cards, identities, documents, SSH keys, folders; its zip with files",
        |source, peek| is_plain(peek) || zipped::is_zip(source, &peek.head),
        |source, _, sink| zipped::all(source, sink),
    )
};

/// Whether a JSON document is a plain file.
fn is_plain(peek: &Peek) -> bool {
    // Files of old versions do not state whether they are encrypted.
    let is_old = peek.has_keys(&["folders"]) && peek.has_path("items.*.type");
    peek.has_keys(&["items"]) && (peek.has_keys(&["encrypted"]) || is_old)
}
