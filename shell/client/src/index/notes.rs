//! Notes that the owner put into the vault log.

use serde::{Deserialize, Serialize};
use shared::ids::{DeviceId, Digest, Seq};

use crate::keys::account::AccountKeys;
use crate::keys::seal::TextContext;

/// A note in the vault log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// Position of its entry.
    pub seq: Seq,
    /// Hash of its entry, which the audit record of the append names.
    pub entry: Digest,
    /// The device that signed it.
    pub device: DeviceId,
    /// Its text; `None` where it cannot be read.
    pub text: Option<String>,
}

/// The text of a sealed note; `None` where it does not decrypt or is no text.
pub(super) fn open(
    keys: &AccountKeys,
    place: TextContext,
    epoch: u32,
    sealed: &[u8],
) -> Option<String> {
    let opened = place.open(keys, epoch, sealed).ok()?;
    Some(std::str::from_utf8(opened.expose()).ok()?.to_owned())
}
