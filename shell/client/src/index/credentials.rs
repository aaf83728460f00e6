//! Credentials and devices, as the owner's entries name them.

use std::collections::{BTreeMap, BTreeSet};

use keyshell_base::names::SecretName;
use serde::{Deserialize, Serialize};
use shared::ids::{DeviceId, Digest};
use shared::opaque::Slot;
use shared::vault_log::{self, Credential, Entry, LogError, Op};

use crate::index::device_name;
use crate::keys::account::AccountKeys;
use crate::keys::seal::DeviceNameContext;

/// The state of one credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialState {
    /// Its generation: counts the credentials of the slot.
    pub generation: u64,
    /// SHA-256 of the account key wrapped under its export key; `None` for a revoked credential.
    pub wrapped: Option<Digest>,
    /// The name of the device, for a device's slot.
    pub name: Option<SecretName>,
    /// The time of the entry, in milliseconds since 1970-01-01 UTC by the clock of the device that signed it.
    pub since_ms: u64,
    /// The device that signed the entry.
    pub by: DeviceId,
}

/// All credentials that an entry names, and all devices that signed an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    by_slot: BTreeMap<Slot, CredentialState>,
    /// Times of the first and the newest entry of each device, in milliseconds since 1970-01-01 UTC by its clock.
    devices: BTreeMap<DeviceId, (u64, u64)>,
}

impl Credentials {
    /// The state of a credential; `None` for one that no entry names: the registration made it, or it does not exist.
    pub fn get(&self, slot: &Slot) -> Option<&CredentialState> {
        self.by_slot.get(slot)
    }

    /// All credentials that an entry names.
    pub fn iter(&self) -> impl Iterator<Item = (&Slot, &CredentialState)> {
        self.by_slot.iter()
    }

    /// The slots with a valid credential; a registration makes those of password and recovery code.
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

    /// The generation of the credential in this slot; that of the registration where no entry names it.
    pub fn generation(&self, slot: &Slot) -> u64 {
        self.get(slot)
            .map_or(slot.first_generation(), |state| state.generation)
    }

    /// Times of the first and the newest entry of each device, in milliseconds since 1970-01-01 UTC by its clock.
    pub fn devices(&self) -> &BTreeMap<DeviceId, (u64, u64)> {
        &self.devices
    }

    /// The name of a device; the first 8 hexadecimal digits of its id where it has none.
    pub fn device_name(&self, device: &DeviceId) -> String {
        let named = self.get(&Slot::Device(*device));
        let name = named.and_then(|state| state.name.as_ref());
        name.map_or_else(|| device_name::short_id(device), ToString::to_string)
    }

    /// The name of a device; one that has none gets that of this machine, numbered where another device has it.
    pub(crate) fn name_or_new(&self, device: &DeviceId) -> SecretName {
        let known = self.get(&Slot::Device(*device));
        known
            .and_then(|state| state.name.clone())
            .unwrap_or_else(|| {
                device_name::propose(device, |name| {
                    let mut names = self
                        .by_slot
                        .values()
                        .filter_map(|state| state.name.as_ref());
                    names.any(|taken| taken.as_str() == name)
                })
            })
    }

    /// Applies a verified entry; returns whether it carries an unreadable device name.
    ///
    /// # Errors
    /// [`LogError::Contradiction`] for a generation that does not follow; nothing is changed then.
    pub fn note(&mut self, keys: &AccountKeys, entry: &Entry) -> Result<bool, LogError> {
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

    /// The state of a credential after an entry, by the rule that the server applies as well.
    fn next(
        &self,
        entry: &Entry,
        credential: &Credential,
        name: Option<SecretName>,
    ) -> Result<CredentialState, LogError> {
        let known = self.get(&credential.slot);
        let newest = known.map(|state| state.generation);
        let generation = vault_log::next_generation(newest, credential)?;
        // A revocation does not repeat the name.
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
    let place = DeviceNameContext {
        device: *device,
        generation: credential.generation,
        seq: entry.seq,
    };
    let opened = place.open(keys, sealed).ok()?;
    SecretName::parse(std::str::from_utf8(opened.expose()).ok()?).ok()
}
