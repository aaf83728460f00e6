//! What a vault remembers on this device: the pins, and the index under a key of its own.

use std::path::PathBuf;

use keyshell_base::files;
use shared::aead;
use shared::kdf::length_prefixed;
use shared::opaque::{SUITE, Slot};
use shared::vault_log::Head;

use crate::device::home;
use crate::device::pins::{HeldPins, PinsFile};
use crate::error::Error;
use crate::index::Index;
use crate::vault::open::Vault;

/// Longest cached index that is read, in bytes.
const MAX_CACHE: u64 = 1 << 30;

/// Where a vault keeps what it remembers on this device.
#[derive(Debug, Clone)]
pub struct DeviceState {
    /// The pins.
    pub pins: PinsFile,
    /// The encrypted index.
    pub index: PathBuf,
}

impl Vault {
    /// The index first: it must never be behind the pins without need, and may be ahead of them.
    pub(crate) fn remember(&mut self, guard: &HeldPins<'_>, before: Head) -> Result<(), Error> {
        if self.index.head() != before {
            self.save_index()?;
        }
        self.pins.advance(self.index.head());
        guard.save(&self.pins)
    }

    /// The same where the owner accepted a loss: what was pinned before is given up.
    pub(crate) fn remember_anew(&mut self, guard: &HeldPins<'_>) -> Result<(), Error> {
        self.save_index()?;
        self.pins.advance(self.index.head());
        guard.replace(&self.pins)
    }

    fn password_generation(&self) -> u64 {
        self.index.credentials().generation(&Slot::Password)
    }

    /// Whether the local store opens with the password of now, as far as this device noted it.
    pub fn knows_local_password(&self) -> bool {
        self.pins.local_password == Some(self.password_generation())
    }

    /// Notes that it does.
    ///
    /// # Errors
    /// [`Error::Failed`].
    pub fn note_local_password(&mut self) -> Result<(), Error> {
        if self.knows_local_password() {
            return Ok(());
        }
        self.pins.local_password = Some(self.password_generation());
        self.state.pins.hold()?.save(&self.pins)
    }

    fn cache_aad(&self) -> Vec<u8> {
        length_prefixed(&[
            b"keyshell/1 device cache",
            &[SUITE],
            self.pins.account.as_bytes(),
            self.session.device().as_bytes(),
        ])
    }

    fn save_index(&self) -> Result<(), Error> {
        let key = self.session.keys().device_cache(&self.session.device());
        let Some(content) = self.index.encode() else {
            return Ok(());
        };
        let sealed = aead::seal_random(&key, &self.cache_aad(), content.expose());
        home::write(&self.state.index, &sealed)
    }

    /// A cache that is missing, damaged or of another device costs a full replay, nothing else.
    pub(crate) fn cached_index(&self) -> Option<Index> {
        let key = self.session.keys().device_cache(&self.session.device());
        let sealed = files::read(&self.state.index, MAX_CACHE).ok()??;
        let content = aead::open_random(&key, &self.cache_aad(), sealed.expose()).ok()?;
        Index::decode(content.expose())
    }

    /// What another run on this device has remembered since; `None` where it is no newer than what is open here.
    pub fn newer_index(&self) -> Option<Index> {
        let head = self.index.head();
        self.cached_index()
            .filter(|index| index.head().seq > head.seq)
    }

    pub(crate) fn fits_pins(&self, index: &Index) -> bool {
        index.head().seq != self.pins.head.seq || index.head().hash == self.pins.head.hash
    }
}
