//! The state of an open vault: the session, the replayed index, and the pins of this device.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use shared::checkpoint::TreeHead;
use shared::ids::{DeviceId, Digest};
use shared::opaque::Slot;
use shared::secret::SecretBytes;

use crate::device::pins::{Pins, PinsFile};
use crate::frontend::Frontend;
use crate::index::Index;
use crate::keys::anchor::Anchor;
use crate::keys::device_key::DeviceKey;
use crate::session::Session;

/// The part of a device that a vault uses: the files that hold its state, and the device key.
#[derive(Debug, Clone)]
pub struct DeviceState {
    /// The pins.
    pub pins: PinsFile,
    /// The cached index, encrypted.
    pub index: PathBuf,
    /// The device key, which is mixed into the passwords that the frontend returns.
    pub key: Option<DeviceKey>,
    /// A code from paper or another device, which the next sync must reach before anything is saved.
    pub expected: Option<Anchor>,
}

/// An open vault.
#[derive(Debug)]
pub struct Vault {
    pub(crate) session: Session,
    pub(crate) frontend: Arc<dyn Frontend>,
    pub(crate) state: DeviceState,
    pub(crate) pins: Pins,
    pub(crate) index: Index,
    /// The newest audit checkpoint that each other device has signed it was shown, until it is compared with this
    /// device's; kept across a failed sync.
    pub(crate) seen: BTreeMap<DeviceId, TreeHead>,
    /// Hash of the last entry of an append whose answer was lost; `None` again once a sync finds the entry in the log.
    pub(crate) lost: Option<Digest>,
    /// The secret of this device's own credential, which opens sessions without the password.
    pub(crate) device_secret: Option<SecretBytes>,
    /// Credentials that are being installed: if the answer is lost, they may be valid already.
    pub(crate) installing: Vec<(Slot, SecretBytes)>,
    /// Whether the owner is acknowledging a loss: until that is stored, the pins in memory are older than the stored ones,
    /// which stay as they are.
    pub(crate) acknowledging: bool,
    /// Events that replay noticed, until everything has verified.
    pub(crate) notices: Vec<String>,
}

impl Vault {
    pub(crate) fn new(
        session: Session,
        frontend: Arc<dyn Frontend>,
        state: DeviceState,
        pins: Pins,
    ) -> Self {
        Self {
            session,
            frontend,
            state,
            pins,
            index: Index::new(),
            seen: BTreeMap::new(),
            lost: None,
            device_secret: None,
            installing: Vec::new(),
            acknowledging: false,
            notices: Vec::new(),
        }
    }

    /// The index as of the last sync.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The pins of this device.
    pub fn pins(&self) -> &Pins {
        &self.pins
    }

    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }
}
