//! Notes that the owner put into the vault log.

use serde::{Deserialize, Serialize};
use shared::ids::DeviceId;
use shared::vault_log::{Entry, Op};

use crate::index::unsealed::Unsealed;
use crate::keys::account::AccountKeys;
use crate::keys::seal::NoteContext;

/// A note in the vault log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The device that signed it.
    pub device: DeviceId,
    /// Its number, from 1, among the entries of this device that the audit log records as `append`.
    pub ordinal: u64,
    /// Its text.
    pub text: String,
}

/// The text of a note's entry.
pub(super) fn text(keys: &AccountKeys, entry: &Entry) -> Unsealed<String> {
    let Op::Note(sealed) = &entry.op else {
        return Unsealed::Absent;
    };
    let place = NoteContext {
        device: entry.device,
        seq: entry.seq,
    };
    let opened = place.open(keys, sealed).ok();
    let text =
        opened.and_then(|opened| Some(std::str::from_utf8(opened.expose()).ok()?.to_owned()));
    Unsealed::new(text)
}
