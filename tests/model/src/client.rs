//! What a device of the owner does: it logs in, verifies, writes, and installs credentials.

use std::collections::BTreeSet;

use crate::Protocol;
use crate::rules::{Change, Fault, Outcome};
use crate::state::{Credential, Entry, Head, Install, Key, Op, Secret, Set, Slot, State, Value};

/// A loss that is acknowledged.
#[derive(Debug, Clone, Copy)]
struct Loss {
    head: Head,
    signer: Option<Key>,
}

/// A request that installs credentials.
#[derive(Debug, Clone, Default)]
struct Request {
    lost: Option<Loss>,
    new: Vec<Slot>,
    revoked: Vec<Slot>,
    begins_epoch: bool,
}

impl Protocol {
    /// Whether a credential opens all account keys of a log, from what the owner's devices stored; `operator` adds what
    /// an operator can make who knows account keys.
    pub(crate) fn opens(&self, state: &State, secret: Secret, log: Head, operator: bool) -> bool {
        let Credential { wraps, epoch, .. } = state.credentials[secret];
        let chain = state.chain(log);
        let (Some((&key, former)), Some(&of_epoch)) = (chain.split_last(), chain.get(epoch - 1))
        else {
            return false;
        };
        let is_known = operator && state.known.contains(key);
        let sealed = &state.keys[key];
        // The slot key; a credential of the newest epoch wraps the account key itself.
        let yields_key = if epoch == chain.len() {
            key == wraps
        } else {
            is_known || sealed.encapsulated.contains(secret)
        };
        let has_history = is_known || (sealed.is_owners && sealed.former == former);
        let is_bound = of_epoch == wraps || self.has(Fault::HistoryNotBound);
        yields_key && has_history && is_bound
    }

    /// Whether a login by the slot's credential succeeds where the operator shows this log. The owner remembers each
    /// password and recovery code, and types the one that fits.
    fn logs_in(&self, state: &State, slot: Slot, log: Head) -> bool {
        let secret = state.newest(log, slot).1;
        secret.is_some_and(|secret| {
            state.credentials[secret].is_owners && self.opens(state, secret, log, true)
        })
    }

    /// Whether a log contains each installation of credentials with all of its entries: the operator may show it up to
    /// any entry.
    fn is_whole(&self, state: &State, log: Head) -> bool {
        let mut after = None;
        let is_broken_off = |(_, entry): (Head, &Entry)| {
            let next = after.replace(entry.op);
            matches!(entry.op, Op::Acknowledge(..)) && !matches!(next, Some(Op::Rekey(_)))
        };
        let mut installs = state.installs.iter();
        let is_partial = |install: &Install| {
            state.extends(log, install.first) && !state.extends(log, install.last)
        };
        self.has(Fault::ReadInParts)
            || !state.entries(log).any(is_broken_off) && !installs.any(is_partial)
    }

    /// Whether a device accepts the log that it is shown, as one that extends its own or by an acknowledgement.
    pub(crate) fn accepts(&self, state: &State, device: u8, log: Head) -> Option<Continuity> {
        let known = &state.devices[usize::from(device)];
        if !self.is_whole(state, log) {
            return None;
        }
        let Some(pin) = known.pin else {
            return Some(Continuity::Extended);
        };
        let (chain, pinned) = (state.chain(log), state.chain(pin));
        if chain.len() < pinned.len() {
            return None;
        }
        let length = |log| state.entries(log).count();
        let is_longer = self.has(Fault::PinnedByLength) && length(log) > length(pin);
        if is_longer || state.extends(log, pin) {
            let mut entries = state.entries(log);
            let is_refused = entries.any(|(at, _)| known.refused.contains(at));
            let is_accepted = !is_refused || self.has(Fault::RefusalsForgotten);
            return is_accepted.then_some(Continuity::Extended);
        }
        let pinned_key = if self.has(Fault::EpochByNumber) {
            chain.get(pinned.len() - 1)
        } else {
            pinned.last()
        };
        let is_signed = |signer: Option<Key>| signer.as_ref() == pinned_key && pinned_key.is_some();
        let acknowledged = state.entries(log).find(|(_, entry)| match entry.op {
            Op::Acknowledge(lost, signer) => {
                lost == pin && (is_signed(signer) || self.has(Fault::AcknowledgementUnsigned))
            }
            _ => false,
        });
        acknowledged.map(|(_, entry)| Continuity::Acknowledged {
            by_owner: entry.by.is_some(),
        })
    }

    /// Logs in and syncs; `None` where the device refuses what it is shown, and where that is nothing new.
    pub(crate) fn sync(&self, state: &State, device: u8, log: Head) -> Option<State> {
        let pin = state.devices[usize::from(device)].pin;
        let mut slots = [Slot::Password, Slot::Device(device)].into_iter();
        if pin == Some(log) {
            return None;
        }
        let continuity = self.accepts(state, device, log)?;
        if !slots.any(|slot| self.logs_in(state, slot, log)) {
            return None;
        }
        let mut state = state.clone();
        if let Continuity::Acknowledged { by_owner } = continuity {
            // By the log key of the pinned epoch: where a thief holds it, the pin is not later than the theft.
            let is_known = pin
                .and_then(|pin| state.key(pin))
                .is_some_and(|key| state.known.contains(key));
            let device = &mut state.devices[usize::from(device)];
            device.is_in_reach |= !by_owner && is_known;
            device.refused = Set::default();
        }
        state.pin(device, log);
        Some(state)
    }

    /// Writes a value.
    pub(crate) fn write(state: &State, device: u8) -> Option<State> {
        let writer = &state.devices[usize::from(device)];
        let (pin, ended) = (writer.pin?, writer.ended);
        let mut state = state.clone();
        state.values.insert(Value {
            key: state.key(pin)?,
            ended,
            holding: state.holding(pin),
        });
        let head = state.append(Some(pin), Op::Put, Some(device));
        state.pin(device, head);
        Some(state)
    }

    /// Makes a change of credentials.
    pub(crate) fn change(
        &self,
        state: &State,
        device: u8,
        change: Change,
        outcome: Outcome,
    ) -> Option<State> {
        let pin = state.devices[usize::from(device)].pin?;
        let by = match change {
            Change::Recover => Slot::Recovery,
            _ => Slot::Password,
        };
        let mut request = Request {
            begins_epoch: true,
            ..Request::default()
        };
        match change {
            Change::Password => {
                request.new.push(Slot::Password);
                request.begins_epoch = !self.has(Fault::PasswordKeepsEpoch);
            }
            Change::Recover => request.new.extend([Slot::Password, Slot::Recovery]),
            Change::Recovery => request.new.push(Slot::Recovery),
            Change::Revoke(device) => {
                state.newest(pin, Slot::Device(device)).1?;
                request.revoked.push(Slot::Device(device));
            }
            Change::RotateKey => {}
            Change::Enrol => {
                if state.newest(pin, Slot::Device(device)).1.is_some() {
                    return None;
                }
                request.new.push(Slot::Device(device));
                request.begins_epoch = false;
            }
        }
        if !self.logs_in(state, by, pin) {
            return None;
        }
        self.install(state.clone(), device, pin, &request, outcome)
    }

    /// Acknowledges a loss: names the credentials that are back or foreign, renews or revokes them, and begins an epoch.
    pub(crate) fn acknowledge(
        &self,
        state: &State,
        device: u8,
        shown: Head,
        outcome: Outcome,
    ) -> Option<State> {
        let pin = state.devices[usize::from(device)].pin?;
        let is_loss = !state.extends(shown, pin)
            && self.is_whole(state, shown)
            && self.accepts(state, device, shown).is_none();
        if !is_loss || !self.logs_in(state, Slot::Password, shown) {
            return None;
        }
        let seen_key = state.key(pin)?;
        let chain = state.chain(shown);
        let signer = if self.has(Fault::EpochByNumber) {
            chain.get(state.chain(pin).len() - 1).copied()
        } else {
            chain.contains(&seen_key).then_some(seen_key)
        };
        let mut request = Request {
            lost: Some(Loss { head: pin, signer }),
            begins_epoch: true,
            ..Request::default()
        };
        for slot in self.returned(state, pin, shown) {
            match slot {
                _ if self.has(Fault::AcknowledgedWithoutRenewal) => {}
                Slot::Device(_) => request.revoked.push(slot),
                Slot::Password | Slot::Recovery => request.new.push(slot),
            }
        }
        let mut state = state.clone();
        if self.has(Fault::PinnedBeforeAcknowledged) {
            state.pin(device, shown);
        }
        if outcome == Outcome::Killed {
            let has_effect = state.devices[usize::from(device)].pin != Some(pin);
            return has_effect.then_some(state);
        }
        self.install(state, device, shown, &request, outcome)
    }

    /// Slots whose credential holds in the shown log and is not the one that holds in the pinned one.
    fn returned(&self, state: &State, pin: Head, shown: Head) -> BTreeSet<Slot> {
        let is_returned = |slot: &Slot| {
            let (seen, now) = (state.newest(pin, *slot), state.newest(shown, *slot));
            let is_other = seen.1 != now.1 && !self.has(Fault::CredentialsByGeneration);
            now.1.is_some() && (seen.0 != now.0 || is_other)
        };
        state.slots(shown).into_iter().filter(is_returned).collect()
    }

    fn install(
        &self,
        mut state: State,
        device: u8,
        base: Head,
        request: &Request,
        outcome: Outcome,
    ) -> Option<State> {
        let by = Some(device);
        let mut heads = Vec::new();
        let mut head = base;
        if let Some(Loss { head: lost, signer }) = request.lost {
            head = state.append(Some(head), Op::Acknowledge(lost, signer), by);
            heads.push(head);
        }
        if request.begins_epoch {
            let key = state.make_key(state.chain(base), true);
            state.keys[key].encapsulated = self.staying(&state, base, request);
            if outcome == Outcome::Unanswered && self.has(Fault::InstalledInParts) {
                state.keys[key].encapsulated = Set::default();
            }
            head = state.append(Some(head), Op::Rekey(key), by);
            heads.push(head);
        }
        for slot in &request.new {
            let secret = state.make_credential(*slot, head, true);
            head = state.append(Some(head), Op::Credential(*slot, Some(secret)), by);
            heads.push(head);
        }
        for slot in &request.revoked {
            head = state.append(Some(head), Op::Credential(*slot, None), by);
            heads.push(head);
        }
        let first = *heads.first()?;
        state.installs.push(Install {
            first,
            last: head,
            is_answered: outcome == Outcome::Done,
        });
        match outcome {
            Outcome::Done => {
                if request.lost.is_some() {
                    state.devices[usize::from(device)].refused = Set::default();
                }
                state.pin(device, head);
            }
            Outcome::Refused => {
                state.devices[usize::from(device)].refused.insert(first);
            }
            Outcome::Killed | Outcome::Unanswered => {}
        }
        self.learn(&mut state);
        Some(state)
    }

    /// The credentials that get a slot key in a new epoch.
    fn staying(&self, state: &State, base: Head, request: &Request) -> Set {
        let stays = |slot: &Slot| {
            let is_revoked = request.revoked.contains(slot);
            let is_forgotten = self.has(Fault::RecoveryForgotten) && *slot == Slot::Recovery;
            !request.new.contains(slot)
                && !is_forgotten
                && (!is_revoked || self.has(Fault::EncapsulatedToRevoked))
        };
        let slots = state.slots(base).into_iter().filter(stays);
        slots
            .filter_map(|slot| state.newest(base, slot).1)
            .collect()
    }
}

/// How an accepted log relates to the pinned one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Continuity {
    /// It extends that one.
    Extended,
    /// An entry acknowledges the loss of that one; the owner's device signed it, or a thief.
    Acknowledged {
        /// Whether a device of the owner signed it.
        by_owner: bool,
    },
}
