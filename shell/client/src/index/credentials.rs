//! Credentials and devices, as the owner's entries name them.

use std::collections::{BTreeMap, BTreeSet};

use keyshell_base::names::SecretName;
use serde::{Deserialize, Serialize};
use shared::ids::{DeviceId, Digest, PublicKey};
use shared::opaque::Slot;
use shared::vault_log::{self, Credential, CredentialKeys, Entry, LogError, Op};

use crate::device::pins::PinnedCredential;
use crate::index::device_name;
use crate::keys::account::AccountKeys;
use crate::keys::seal::TextContext;

/// The state of one credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialState {
    /// Its generation: counts the credentials of the slot.
    pub generation: u64,
    /// Key epoch in which this generation began.
    pub epoch: u32,
    /// Its public keys; `None` for a revoked credential.
    pub keys: Option<CredentialKeys>,
    /// The name of the device, for a device's slot.
    pub name: Option<SecretName>,
    /// The time of the entry, in milliseconds since 1970-01-01 UTC by the clock of the device that signed it.
    pub since_ms: u64,
    /// The device that signed the entry.
    pub by: DeviceId,
}

impl CredentialState {
    /// The pin of this credential.
    pub fn pinned(&self) -> PinnedCredential {
        PinnedCredential::new(self.generation, self.keys.as_ref())
    }
}

/// One generation of a slot, as an entry names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generation {
    /// The key that authorises devices for sessions; `None` for a revocation.
    pub signing: Option<PublicKey>,
    /// Hash of the entry.
    pub entry: Digest,
}

/// All credentials that an entry names, and all devices that signed an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    by_slot: BTreeMap<Slot, CredentialState>,
    /// Each generation of each slot, also of those that were replaced: older audit records carry certificates by them.
    generations: BTreeMap<(Slot, u64), Generation>,
    /// Times of the first and the newest entry of each device, in milliseconds since 1970-01-01 UTC by its clock.
    devices: BTreeMap<DeviceId, (u64, u64)>,
}

impl Credentials {
    /// The state of a credential; `None` for one that does not exist.
    pub fn get(&self, slot: &Slot) -> Option<&CredentialState> {
        self.by_slot.get(slot)
    }

    /// All credentials that an entry names.
    pub fn iter(&self) -> impl Iterator<Item = (&Slot, &CredentialState)> {
        self.by_slot.iter()
    }

    /// The slots with a valid credential.
    pub fn in_use(&self) -> BTreeSet<Slot> {
        let slots = self.by_slot.iter();
        slots
            .filter(|(_, state)| state.keys.is_some())
            .map(|(slot, _)| *slot)
            .collect()
    }

    /// The generation of the newest credential in this slot, also of a revoked one; 0 where there was none.
    pub fn generation(&self, slot: &Slot) -> u64 {
        self.get(slot).map_or(0, |state| state.generation)
    }

    /// Each generation of each slot, also of those that were replaced or revoked since.
    pub fn generations(&self) -> &BTreeMap<(Slot, u64), Generation> {
        &self.generations
    }

    fn newest_signing_key(&self, slot: &Slot) -> Option<PublicKey> {
        Some(self.get(slot)?.keys.as_ref()?.signing)
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

    /// Verifies that a credential authorised the entry, where its operation needs that.
    ///
    /// # Errors
    /// [`LogError::Unauthorised`], [`LogError::Contradiction`] for an authorisation that is not needed.
    pub(super) fn check_authorisation(&self, entry: &Entry) -> Result<(), LogError> {
        entry.verify_authorisation(|slot| self.newest_signing_key(slot))
    }

    /// Applies an entry of this key epoch whose signature and authorisation were verified; returns whether it carries an
    /// unreadable device name.
    ///
    /// # Errors
    /// [`LogError::Contradiction`] for a generation that does not follow; nothing is changed then.
    pub(super) fn note(
        &mut self,
        keys: &AccountKeys,
        entry: &Entry,
        (hash, epoch): (Digest, u32),
    ) -> Result<bool, LogError> {
        let mut is_unreadable = false;
        if let Op::Credential(credential) = &entry.op {
            let name = open_name(keys, entry, credential, epoch);
            is_unreadable = name.is_none() && credential.name.is_some();
            let state = self.next(entry, credential, name, epoch)?;
            let generation = Generation {
                signing: state.keys.as_ref().map(|keys| keys.signing),
                entry: hash,
            };
            let place = (credential.slot, state.generation);
            self.generations.insert(place, generation);
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
        epoch: u32,
    ) -> Result<CredentialState, LogError> {
        let known = self.get(&credential.slot);
        let newest = known.map(|state| state.generation);
        let generation = vault_log::next_generation(newest, credential)?;
        // A revocation does not repeat the name.
        let name = name.or_else(|| known.and_then(|state| state.name.clone()));
        Ok(CredentialState {
            generation,
            epoch,
            keys: credential.keys.clone(),
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
        generations: Vec<((Slot, u64), Generation)>,
        devices: Vec<(DeviceId, (u64, u64))>,
    ) -> Self {
        Self {
            by_slot: slots.into_iter().collect(),
            generations: generations.into_iter().collect(),
            devices: devices.into_iter().collect(),
        }
    }
}

fn open_name(
    keys: &AccountKeys,
    entry: &Entry,
    credential: &Credential,
    epoch: u32,
) -> Option<SecretName> {
    let (Slot::Device(device), Some(sealed)) = (&credential.slot, &credential.name) else {
        return None;
    };
    let place = TextContext::DeviceName {
        device: *device,
        generation: credential.generation,
        seq: entry.seq,
    };
    let opened = place.open(keys, epoch, sealed).ok()?;
    SecretName::parse(std::str::from_utf8(opened.expose()).ok()?).ok()
}
