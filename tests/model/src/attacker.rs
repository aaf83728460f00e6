//! What the operator can derive from everything that was ever stored, together with a stolen credential or device, and
//! what it can sign with that.

use crate::Protocol;
use crate::rules::{Fault, Thief};
use crate::state::{Head, Key, Op, STOLEN_DEVICE, Secret, Slot, State};

/// Entries that the attacker signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Forgery {
    /// An acknowledgement of the loss of a device's pinned head, on top of a log; signed for by the pinned key if the
    /// attacker has it, else by the attacker's own.
    Acknowledge(Head, u8),
    /// A key epoch, with a key that the attacker makes.
    Epoch(Head),
    /// Both of these at once.
    AcknowledgeAndEpoch(Head, u8),
    /// A credential of the attacker.
    Credential(Head, Slot),
    /// A log of its own that names the owner's password, and its own recovery code, which authorises a key epoch.
    Genesis,
}

impl Protocol {
    /// Derives all account keys that the attacker can open.
    pub(crate) fn learn(&self, state: &mut State) {
        loop {
            let before = state.known;
            for (secret, credential) in state.credentials.iter().enumerate() {
                let has_seed = self.bounds.thief == Thief::DeviceSwitchedOff
                    && credential.slot == Slot::Device(STOLEN_DEVICE);
                let has_secret = state.stolen.contains(secret);
                if has_secret {
                    state.known.insert(credential.wraps);
                }
                // A device's KEM key takes the seed and the account key that its credential wraps.
                let has_kem_key = has_secret
                    || has_seed
                        && (self.has(Fault::DeviceKemFromSeed)
                            || state.known.contains(credential.wraps));
                let opened = state.keys.iter().enumerate();
                let opened = opened.filter(|(_, key)| key.encapsulated.contains(secret));
                if has_kem_key {
                    state.known.extend(opened.map(|(key, _)| key).collect());
                }
            }
            for key in state.known.iter() {
                state
                    .known
                    .extend(state.keys[key].former.iter().copied().collect());
            }
            if state.known == before {
                return;
            }
        }
    }

    /// Whether the stolen credential is an old one. A password that is not replaced yet makes its thief the owner; a
    /// device does not.
    pub(crate) fn may_forge(&self, state: &State) -> bool {
        match self.bounds.thief {
            Thief::Nobody | Thief::DeviceSwitchedOff => false,
            Thief::RunningDevice => true,
            Thief::Password | Thief::Recovery => {
                let mut devices = state.devices.iter();
                devices.any(|device| device.ended.meets(state.stolen))
            }
        }
    }

    /// Whether the attacker can authorise an entry on top of a log.
    fn authorises(&self, state: &State, log: Head, op: Op) -> bool {
        let has = |slot: Slot| {
            let newest = state.newest(log, slot).1;
            newest.is_some_and(|secret| state.stolen.contains(secret))
        };
        let is_own = matches!(op, Op::Credential(slot @ Slot::Device(_), _) if has(slot));
        let is_persons = has(Slot::Password) || has(Slot::Recovery);
        is_own || is_persons || self.has(Fault::NothingAuthorised)
    }

    /// The state after a forgery; `None` where the attacker lacks a key for it.
    pub(crate) fn forge(&self, state: &State, forgery: Forgery) -> Option<State> {
        let mut state = state.clone();
        match forgery {
            Forgery::Genesis => {
                self.forge_genesis(&mut state)?;
                return Some(state);
            }
            _ if !self.may_forge(&state) => return None,
            Forgery::Acknowledge(base, device) => {
                let signer = pinned_key(&state, device)?;
                self.sign(&mut state, base, Op::Acknowledge(signer.0, signer.1))?;
            }
            Forgery::Epoch(base) => {
                let key = state.make_key(state.chain(base), false);
                self.sign(&mut state, base, Op::Rekey(key))?;
                state.known.insert(key);
            }
            Forgery::AcknowledgeAndEpoch(base, device) => {
                let (lost, signer) = pinned_key(&state, device)?;
                let key = state.make_key(state.chain(base), false);
                let lost = Op::Acknowledge(lost, signer.or(Some(key)));
                let head = self.sign(&mut state, base, lost)?;
                self.sign(&mut state, head, Op::Rekey(key))?;
                state.known.insert(key);
            }
            Forgery::Credential(base, slot) => {
                let secret = state.make_credential(slot, base, false);
                self.sign(&mut state, base, Op::Credential(slot, Some(secret)))?;
                state.stolen.insert(secret);
            }
        }
        self.learn(&mut state);
        Some(state)
    }

    fn sign(&self, state: &mut State, base: Head, op: Op) -> Option<Head> {
        let has_key = state.key(base).is_some_and(|key| state.known.contains(key));
        (has_key && self.authorises(state, base, op)).then(|| state.append(Some(base), op, None))
    }

    fn forge_genesis(&self, state: &mut State) -> Option<()> {
        let mut pins = state.devices.iter().filter_map(|device| device.pin);
        let password: Secret = state.newest(pins.next()?, Slot::Password).1?;
        let first = state.make_key(Vec::new(), false);
        let genesis = state.append(None, Op::Genesis(first), None);
        let named = Op::Credential(Slot::Password, Some(password));
        let head = state.append(Some(genesis), named, None);
        let recovery = state.make_credential(Slot::Recovery, head, false);
        let named = Op::Credential(Slot::Recovery, Some(recovery));
        let head = state.append(Some(head), named, None);
        let second = state.make_key(vec![first], false);
        state.append(Some(head), Op::Rekey(second), None);
        state.stolen.insert(recovery);
        self.learn(state);
        state.known.insert(first);
        state.known.insert(second);
        Some(())
    }
}

/// The pinned head of a device, and the log key of its epoch if the attacker has it.
fn pinned_key(state: &State, device: u8) -> Option<(Head, Option<Key>)> {
    let pin = state.devices[usize::from(device)].pin?;
    let key = state.key(pin).filter(|key| state.known.contains(*key));
    Some((pin, key))
}
