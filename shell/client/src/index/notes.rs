//! What the owner wanted to be remembered, beside the secrets.

use serde::{Deserialize, Serialize};
use shared::ids::DeviceId;
use shared::vault_log::{Entry, Op};

use crate::index::Opened;
use crate::keys::account::AccountKeys;
use crate::keys::seal::NotePlace;

/// A note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The device that made it.
    pub device: DeviceId,
    /// The how many-th of this device's entries that are `append` in the audit log, from 1.
    pub ordinal: u64,
    /// What it says.
    pub text: String,
}

/// The text of an entry that is a note.
pub(super) fn text(keys: &AccountKeys, entry: &Entry) -> Opened<String> {
    let Op::Note(sealed) = &entry.op else {
        return Opened::Nothing;
    };
    let place = NotePlace {
        device: entry.device,
        seq: entry.seq,
    };
    let opened = place.open(keys, sealed).ok();
    let text =
        opened.and_then(|opened| Some(std::str::from_utf8(opened.expose()).ok()?.to_owned()));
    Opened::new(text)
}
