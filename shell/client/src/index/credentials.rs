//! What the owner's entries say of credentials and devices.

use std::collections::{BTreeMap, BTreeSet};

use keyshell_base::names::SecretName;
use serde::{Deserialize, Serialize};
use shared::ids::{DeviceId, Digest};
use shared::opaque::Slot;
use shared::vault_log::{self, Credential, Entry, Op};

use crate::index::{ReplayError, device_name};
use crate::keys::account::AccountKeys;
use crate::keys::seal::NamePlace;

/// What is said of one credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialState {
    /// How many times it was set.
    pub generation: u64,
    /// SHA-256 of the account key wrapped under its export key; `None`: revoked.
    pub wrapped: Option<Digest>,
    /// The name of the device.
    pub name: Option<SecretName>,
    /// When this was said, by the clock of the device that said it.
    pub since_ms: u64,
    /// Which device said it.
    pub by: DeviceId,
}

/// All credentials of which anything is said, and all devices that said anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    by_slot: BTreeMap<Slot, CredentialState>,
    /// When each device wrote its first and its newest entry, by its own clock.
    devices: BTreeMap<DeviceId, (u64, u64)>,
}

impl Credentials {
    /// What is said of a credential; `None` where it is as the registration made it, or there is none.
    pub fn get(&self, slot: &Slot) -> Option<&CredentialState> {
        self.by_slot.get(slot)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&Slot, &CredentialState)> {
        self.by_slot.iter()
    }

    /// The slots whose credentials hold; a registration makes those of password and recovery.
    pub fn in_use(&self) -> BTreeSet<Slot> {
        let mut slots = BTreeSet::from([Slot::Password, Slot::Recovery]);
        for (slot, state) in &self.by_slot {
            if state.wrapped.is_some() {
                slots.insert(*slot);
            } else {
                slots.remove(slot);
            }
        }
        slots
    }

    /// The generation of the credential in this slot; a registration makes those of password and recovery.
    pub fn generation(&self, slot: &Slot) -> u64 {
        self.get(slot)
            .map_or(slot.first_generation(), |state| state.generation)
    }

    /// When each device wrote its first and its newest entry, by its own clock.
    pub fn devices(&self) -> &BTreeMap<DeviceId, (u64, u64)> {
        &self.devices
    }

    /// What to call a device: its name, or the beginning of its id.
    pub fn device_name(&self, device: &DeviceId) -> String {
        let named = self.get(&Slot::Device(*device));
        let name = named.and_then(|state| state.name.as_ref());
        name.map_or_else(|| device_name::short_id(device), ToString::to_string)
    }

    /// Takes an entry in, verified and next in the log; says whether it names a device so that nobody can read it.
    ///
    /// # Errors
    /// [`ReplayError`]; nothing is changed then.
    pub fn note(&mut self, keys: &AccountKeys, entry: &Entry) -> Result<bool, ReplayError> {
        let mut is_unreadable = false;
        if let Op::Credential(credential) = &entry.op {
            let name = open_name(keys, entry, credential);
            is_unreadable = name.is_none() && credential.name.is_some();
            let state = self.next(entry, credential, name)?;
            self.by_slot.insert(credential.slot, state);
        }
        let times = self.devices.entry(entry.device);
        times.or_insert((entry.time_ms, entry.time_ms)).1 = entry.time_ms;
        Ok(is_unreadable)
    }

    /// What an entry makes of a credential, by the rule of both sides.
    fn next(
        &self,
        entry: &Entry,
        credential: &Credential,
        name: Option<SecretName>,
    ) -> Result<CredentialState, ReplayError> {
        let known = self.get(&credential.slot);
        let newest = known.map(|state| state.generation);
        let generation = vault_log::next_generation(newest, credential)?;
        // Who revokes a device need not repeat its name.
        let name = name.or_else(|| known.and_then(|state| state.name.clone()));
        Ok(CredentialState {
            generation,
            wrapped: credential.wrapped,
            name,
            since_ms: entry.time_ms,
            by: entry.device,
        })
    }

    pub(super) fn to_list(&self) -> Vec<(Slot, CredentialState)> {
        self.by_slot.clone().into_iter().collect()
    }

    pub(super) fn from_lists(
        slots: Vec<(Slot, CredentialState)>,
        devices: Vec<(DeviceId, (u64, u64))>,
    ) -> Self {
        Self {
            by_slot: slots.into_iter().collect(),
            devices: devices.into_iter().collect(),
        }
    }
}

fn open_name(keys: &AccountKeys, entry: &Entry, credential: &Credential) -> Option<SecretName> {
    let (Slot::Device(device), Some(sealed)) = (&credential.slot, &credential.name) else {
        return None;
    };
    let place = NamePlace {
        device: *device,
        generation: credential.generation,
        seq: entry.seq,
    };
    let opened = place.open(keys, sealed).ok()?;
    SecretName::parse(std::str::from_utf8(opened.expose()).ok()?).ok()
}
