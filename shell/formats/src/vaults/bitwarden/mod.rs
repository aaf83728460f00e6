//! Bitwarden's JSON of a vault: plain, as `bw export --format json` and the apps write it; and sealed with a password.
//!
//! An item's `type` says what it is: 1 login, 2 secure note, 3 card, 4 identity, 5 SSH key. What the shape below does not
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

pub use encrypted::BitwardenEncrypted;

use crate::format::{Ask, FormatError, Item, Loss, Peek, Sink, Source, VaultFormat, Written};
use crate::round_trip::BITWARDEN;

/// The plain format.
pub struct Bitwarden;

impl VaultFormat for Bitwarden {
    fn name(&self) -> &'static str {
        BITWARDEN
    }

    fn about(&self) -> &'static str {
        "Bitwarden's JSON: logins with passkeys and history, notes, cards, identities, SSH keys, folders"
    }

    fn recognises(&self, _: &Source, peek: &Peek) -> bool {
        peek.has_keys(&["encrypted", "items"])
    }

    fn read(&self, source: &Source, _: &dyn Ask, sink: &mut Sink<'_>) -> Result<(), FormatError> {
        read::all(source, sink)
    }

    fn is_written(&self) -> bool {
        true
    }

    fn write(&self, items: &[Item], _: &dyn Ask) -> Result<(Written, Vec<Loss>), FormatError> {
        write::all(items)
    }
}
