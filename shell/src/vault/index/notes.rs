//! What the owner wanted to be remembered, beside the secrets.

use serde::{Deserialize, Serialize};
use shared::ids::DeviceId;
use shared::vault_log::{Entry, Op};

use crate::vault::index::ReplayError;
use crate::vault::keys::AccountKeys;
use crate::vault::seal::NotePlace;

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
///
/// # Errors
/// [`ReplayError::Metadata`] if it does not open, or is no text.
pub fn text(keys: &AccountKeys, entry: &Entry) -> Result<Option<String>, ReplayError> {
    let Op::Note(sealed) = &entry.op else {
        return Ok(None);
    };
    let place = NotePlace {
        device: entry.device,
        seq: entry.seq,
    };
    let bad = || ReplayError::Metadata(entry.seq);
    let opened = place.open(keys, sealed).map_err(|_| bad())?;
    let text = std::str::from_utf8(opened.expose()).map_err(|_| bad())?;
    Ok(Some(text.to_owned()))
}
