//! State of a vault on this device: the pins, and the index encrypted under a key of its own.

use keyshell_base::files;
use shared::aead;
use shared::kdf::length_prefixed;
use shared::opaque::{SUITE, Slot};
use shared::vault_log::Head;

use crate::device::home;
use crate::device::pins::HeldPins;
use crate::error::Result;
use crate::index::Index;
use crate::vault::open::Vault;

/// Longest cached index that is read, in bytes.
const MAX_CACHE: u64 = 1 << 30;

impl Vault {
    /// Saves index and pins; the index first, since it may be ahead of the pins but should not be behind them.
    pub(crate) fn save_state(&mut self, guard: &HeldPins, before: Head) -> Result<()> {
        if self.index.head() != before {
            self.save_index()?;
        }
        self.pin_index();
        guard.save(&self.pins)
    }

    /// Saves index and pins where the owner has acknowledged a loss: the new pins replace the old ones.
    pub(crate) fn replace_state(&mut self, guard: &HeldPins) -> Result<()> {
        self.save_index()?;
        // Their records may be among what is lost.
        self.pins.sessions.clear();
        self.pins.losses += 1;
        self.pin_index();
        guard.replace(&self.pins)
    }

    /// Saves which requests of this session the audit log must have, unless another process has the pins locked.
    pub(crate) fn save_session(&mut self) -> Result<()> {
        let newest = self.session.expected_records().newest();
        let is_noted = newest.is_none_or(|used| self.pins.sessions.contains(&used));
        if is_noted || self.acknowledging {
            return Ok(());
        }
        let Some(guard) = self.state.pins.try_hold()? else {
            return Ok(());
        };
        self.note_session();
        guard.save(&self.pins)
    }

    /// Pins the newest request of this session.
    pub(crate) fn note_session(&mut self) {
        if let Some(used) = self.session.expected_records().newest() {
            self.pins.note_session(used);
        }
    }

    fn pin_index(&mut self) {
        self.note_session();
        self.pins.advance(self.index.head());
        let keys = self.session.keys();
        self.pins.advance_epoch(keys.epoch(), keys.log_key());
        let credentials = self.index.credentials().iter();
        self.pins
            .note_credentials(credentials.map(|(slot, state)| (*slot, state.pinned())));
    }

    fn password_generation(&self) -> u64 {
        self.index.credentials().generation(&Slot::Password)
    }

    /// Whether the local store on this device is known to open with the current password.
    pub fn knows_local_password(&self) -> bool {
        self.pins.local_password == Some(self.password_generation())
    }

    /// Records that the local store opens with the current password.
    ///
    /// # Errors
    /// [`Error::Failed`](crate::error::Error::Failed).
    pub fn note_local_password(&mut self) -> Result<()> {
        if self.knows_local_password() {
            return Ok(());
        }
        self.pins.local_password = Some(self.password_generation());
        self.state.pins.hold()?.save(&self.pins)
    }

    fn cache_aad(&self) -> Vec<u8> {
        length_prefixed(&[
            b"keyshell/2 device cache",
            &[SUITE],
            self.pins.account.as_bytes(),
            self.session.device().as_bytes(),
        ])
    }

    pub(crate) fn save_index(&self) -> Result<()> {
        let device = self.session.device();
        let key = self.session.keys().device_caches(&device).next();
        let (Some(key), Some(content)) = (key, self.index.encode()) else {
            return Ok(());
        };
        let sealed = aead::seal_random(&key, &self.cache_aad(), content.expose());
        home::write(&self.state.index, &sealed)
    }

    /// Reads the cached index; `None` if it is missing, damaged or of another device, which costs a full replay.
    pub(crate) fn cached_index(&self) -> Option<Index> {
        let sealed = files::read(&self.state.index, MAX_CACHE).ok()??;
        let (keys, aad) = (self.session.keys(), self.cache_aad());
        // It may be from before the newest key epoch.
        let content = keys
            .device_caches(&self.session.device())
            .find_map(|key| aead::open_random(&key, &aad, sealed.expose()).ok())?;
        Index::decode(content.expose())
    }

    /// The cached index, where it does not contradict the pins.
    pub(crate) fn fitting_index(&self) -> Option<Index> {
        self.cached_index().filter(|index| self.fits_pins(index))
    }

    /// The index that another process on this device has saved since; `None` if it is no newer than the one open here.
    pub fn newer_index(&self) -> Option<Index> {
        let head = self.index.head();
        self.cached_index()
            .filter(|index| index.head().seq > head.seq)
    }

    /// Whether an index does not contradict the pinned head.
    pub(crate) fn fits_pins(&self, index: &Index) -> bool {
        index.head().seq != self.pins.head.seq || index.head().hash == self.pins.head.hash
    }
}
