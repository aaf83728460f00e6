//! A model of the life of credentials, key epochs, pins, acknowledgements and rollbacks of protocol version 2
//! (`docs/protocol.md`, sections 5 to 7 and 9), for the model checker [`stateright`].
//!
//! Cryptography is symbolic: an account key, a credential or a log entry is a number, and who can open what follows from
//! the numbers that they have. The operator is the attacker throughout: it keeps every copy of the server, shows each
//! device whichever it likes (so that it restores old copies, forks and withholds), and may have an old credential or a
//! stolen device. [`Fault`] breaks one rule, so that tests show that the checker would notice.
//!
//! Outside the model: the audit log, values and metadata (a value is its epoch), leases, anchors, OPAQUE itself.

// Indices are positions that the model itself has handed out.
#![allow(clippy::indexing_slicing)]

mod attacker;
mod client;
pub mod properties;
mod rules;
mod state;

use stateright::{Model, Property};

pub use attacker::Forgery;
pub use rules::{Bounds, Change, Fault, Outcome, Thief};
pub use state::{STOLEN_DEVICE, Set, Slot, State, Taken};

use state::{Device, Head, Op, Secret};

/// The credentials of every first state, in the order in which they are made.
const FIRST_SLOTS: [Slot; 5] = [
    Slot::Password,
    Slot::Recovery,
    Slot::Device(0),
    Slot::Device(STOLEN_DEVICE),
    Slot::Device(1),
];

/// The protocol within bounds, with at most one rule broken.
#[derive(Debug, Clone)]
pub struct Protocol {
    /// The bounds.
    pub bounds: Bounds,
    /// The broken rule.
    pub fault: Option<Fault>,
    /// States that must be reached, by the names in [`properties`].
    pub reached: Vec<&'static str>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Action {
    /// A device logs in by the password or by its own credential, and syncs; the operator shows it this log.
    Sync(u8, Head),
    /// A device writes a value.
    Write(u8),
    /// The owner changes credentials on a device.
    Change(u8, Change, Outcome),
    /// The owner acknowledges a loss on a device that is shown this log.
    Acknowledge(u8, Head, Outcome),
    /// The attacker signs entries.
    Forge(Forgery),
}

impl Protocol {
    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    /// The first credential that the attacker has; `None` for an attacker without one.
    fn stolen(&self) -> Option<Secret> {
        let slot = match self.bounds.thief {
            Thief::Nobody | Thief::DeviceSwitchedOff => return None,
            Thief::Password => Slot::Password,
            Thief::Recovery => Slot::Recovery,
            Thief::RunningDevice => Slot::Device(STOLEN_DEVICE),
        };
        FIRST_SLOTS.iter().position(|first| *first == slot)
    }

    /// The outcomes of a request that are explored after so many interruptions.
    fn outcomes(&self, state: &State) -> &'static [Outcome] {
        if state.taken.interruptions < self.bounds.most.interruptions {
            const ALL: [Outcome; 4] = [
                Outcome::Done,
                Outcome::Killed,
                Outcome::Unanswered,
                Outcome::Refused,
            ];
            &ALL
        } else {
            &[Outcome::Done]
        }
    }

    fn take(&self, state: &State, action: &Action) -> Option<State> {
        match action {
            Action::Sync(device, log) => self.sync(state, *device, *log),
            Action::Write(device) => Self::write(state, *device),
            Action::Change(_, _, Outcome::Killed) => None,
            Action::Change(device, change, outcome) => {
                self.change(state, *device, *change, *outcome)
            }
            Action::Acknowledge(device, log, outcome) => {
                self.acknowledge(state, *device, *log, *outcome)
            }
            Action::Forge(forgery) => self.forge(state, *forgery),
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let device = Device {
            pin: None,
            refused: Set::default(),
            seen: Set::default(),
            ended: Set::default(),
            is_in_reach: false,
        };
        let mut state = State {
            log: Vec::new(),
            keys: Vec::new(),
            credentials: Vec::new(),
            devices: vec![device; 2],
            installs: Vec::new(),
            values: [].into(),
            stolen: Set::default(),
            known: Set::default(),
            taken: Taken::default(),
        };
        let key = state.make_key(Vec::new(), true);
        let mut head = state.append(None, Op::Genesis(key), Some(0));
        let is_fresh = self.bounds.is_second_fresh;
        for slot in FIRST_SLOTS {
            if slot == Slot::Device(1) && is_fresh {
                continue;
            }
            let secret = state.make_credential(slot, head, true);
            head = state.append(Some(head), Op::Credential(slot, Some(secret)), Some(0));
        }
        state.pin(0, head);
        if !is_fresh {
            state.pin(1, head);
        }
        state.stolen = self.stolen().into_iter().collect();
        self.learn(&mut state);
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let (taken, most) = (&state.taken, &self.bounds.most);
        // Shorter logs are those of a registration.
        let logs = FIRST_SLOTS.len() - 1..state.log.len();
        for device in 0..2 {
            for log in logs.clone() {
                actions.push(Action::Sync(device, log));
                if taken.acknowledgements < most.acknowledgements {
                    let outcomes = self.outcomes(state).iter();
                    let acknowledged = outcomes.map(|one| Action::Acknowledge(device, log, *one));
                    actions.extend(acknowledged);
                }
            }
            if taken.values < most.values {
                actions.push(Action::Write(device));
            }
            if taken.changes < most.changes {
                for change in &self.bounds.changes {
                    let outcomes = self.outcomes(state).iter();
                    actions.extend(outcomes.map(|one| Action::Change(device, *change, *one)));
                }
            }
        }
        if taken.forgeries < most.forgeries {
            actions.push(Action::Forge(Forgery::Genesis));
            for log in logs {
                let slots = [Slot::Password, Slot::Recovery, Slot::Device(STOLEN_DEVICE)];
                let credentials = slots.map(|slot| Forgery::Credential(log, slot));
                let lost = (0..2).flat_map(|device| {
                    [
                        Forgery::Acknowledge(log, device),
                        Forgery::AcknowledgeAndEpoch(log, device),
                    ]
                });
                let all = credentials.into_iter().chain(lost);
                let all = all.chain([Forgery::Epoch(log)]);
                actions.extend(all.map(Action::Forge));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut next = self.take(last, &action)?;
        let taken = &mut next.taken;
        match action {
            Action::Sync(..) => {}
            Action::Write(_) => taken.values += 1,
            Action::Change(_, _, outcome) => {
                taken.changes += 1;
                taken.interruptions += u8::from(outcome != Outcome::Done);
            }
            Action::Acknowledge(_, _, outcome) => {
                taken.acknowledgements += 1;
                taken.interruptions += u8::from(outcome != Outcome::Done);
            }
            Action::Forge(_) => taken.forgeries += 1,
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = Self::invariants();
        properties.extend(Self::reached(&self.reached));
        properties
    }
}
