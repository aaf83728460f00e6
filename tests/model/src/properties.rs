//! What must hold in each state, and what must be reachable so that the exploration says something.

use stateright::Property;

use crate::Protocol;
use crate::rules::Thief;
use crate::state::{Device, Head, Op, Set, State, Value};

/// The thief never opens a value whose writer had seen the stolen credential replaced or revoked. An operator alone, or
/// with a device that was switched off, opens none at all.
pub const SECRECY: &str = "an old credential opens nothing that was written after its end";
/// Each credential that holds after a change opens the newest epoch, from what an honest server has.
pub const NO_LOCKOUT: &str = "each credential that holds opens the newest epoch";
/// A device leaves a state that it has verified only where its owner acknowledged the loss of that state.
pub const ROLLBACK: &str = "a rollback is noticed";
/// A credential that a device has seen replaced or revoked never holds again in a log that the device accepts.
pub const NO_RETURN: &str = "no credential returns";
/// After an acknowledgement each credential that holds was made with it, or was the newest one in the lost state.
pub const EXPLAINED: &str = "an acknowledgement explains each credential that holds";
/// Devices that were shown different states accept a common one only where the owner acknowledged the loss of one.
pub const FORK: &str = "forked devices do not meet in silence";
/// A device never accepts entries that the server told it were refused.
pub const REFUSED: &str = "what was refused has no effect";

/// A device accepts a restored state by the acknowledgement of another one.
pub const FOLLOWED: &str = "a device follows the acknowledgement of another";
/// A device finds that an installation whose answer was lost was stored.
pub const RESUMED: &str = "an unanswered installation is found stored";
/// Devices follow different branches.
pub const FORKED: &str = "devices are forked";
/// The attacker opens a value that was written before the stolen credential ended.
pub const OPENED: &str = "an old credential opens what was written before its end";

impl Protocol {
    /// The properties that have counterexamples only where a rule is broken.
    pub(crate) fn invariants() -> Vec<Property<Self>> {
        vec![
            Property::always(SECRECY, Self::is_secret),
            Property::always(NO_LOCKOUT, Self::locks_nobody_out),
            Property::always(ROLLBACK, |_, state: &State| {
                state.judged().all(|device| state.stays(device))
            }),
            Property::always(NO_RETURN, |_, state: &State| {
                state.judged().all(|device| {
                    let holds = |pin| device.ended.meets(state.holding(pin));
                    !device.pin.is_some_and(holds)
                })
            }),
            Property::always(EXPLAINED, |_, state: &State| state.is_explained()),
            Property::always(FORK, |_, state: &State| state.forked_stay_apart()),
            Property::always(REFUSED, |_, state: &State| {
                state.judged().all(|device| {
                    let is_accepted = |pin| {
                        state
                            .entries(pin)
                            .any(|(at, _)| device.refused.contains(at))
                    };
                    !device.pin.is_some_and(is_accepted)
                })
            }),
        ]
    }

    /// The properties that show what the exploration reaches.
    pub(crate) fn reached(names: &[&'static str]) -> Vec<Property<Self>> {
        let all = [
            Property::sometimes(FOLLOWED, |_, state: &State| {
                let follows = |number: u8, device: &Device| {
                    device.pin.is_some_and(|pin| {
                        let left =
                            |lost: &Head| device.seen.contains(*lost) && !state.extends(pin, *lost);
                        state.entries(pin).any(|(_, entry)| match entry.op {
                            Op::Acknowledge(lost, _) => {
                                left(&lost) && entry.by.is_some_and(|by| by != number)
                            }
                            _ => false,
                        })
                    })
                };
                (0..)
                    .zip(&state.devices)
                    .any(|(number, device)| follows(number, device))
            }),
            Property::sometimes(RESUMED, |_, state: &State| {
                let mut pins = state.devices.iter().filter_map(|device| device.pin);
                pins.any(|pin| {
                    let mut installs = state.installs.iter();
                    installs.any(|one| !one.is_answered && state.extends(pin, one.last))
                })
            }),
            Property::sometimes(FORKED, |_, state: &State| {
                let pins = state.devices.iter().filter_map(|device| device.pin);
                let pins: Vec<Head> = pins.collect();
                let is_apart = |a: Head, b: Head| !state.extends(a, b) && !state.extends(b, a);
                pins.iter().any(|a| pins.iter().any(|b| is_apart(*a, *b)))
            }),
            Property::sometimes(OPENED, |_, state: &State| {
                let is_early = |value: &Value| !value.ended.meets(state.stolen);
                let mut values = state.values.iter();
                values.any(|value| state.known.contains(value.key) && is_early(value))
            }),
        ];
        let mut all = Vec::from(all);
        all.retain(|property| names.contains(&property.name));
        all
    }

    fn is_secret(&self, state: &State) -> bool {
        let first = self.stolen();
        let is_protected = |value: &Value| {
            let has_ended = first.is_none_or(|secret| value.ended.contains(secret));
            // The thief of a password can plant a credential where a device does not know yet that the password ended.
            let can_plant = matches!(self.bounds.thief, Thief::Password | Thief::Recovery);
            let mut holding = value.holding.iter();
            let is_planted =
                can_plant && holding.any(|secret| !state.credentials[secret].is_owners);
            has_ended && !is_planted
        };
        let mut values = state.values.iter();
        values.all(|value| !is_protected(value) || !state.known.contains(value.key))
    }

    fn locks_nobody_out(&self, state: &State) -> bool {
        // A device that follows a thief's fork may work in an epoch that the thief began.
        let is_owners = |head: Head| {
            let key = state.key(head);
            key.is_some_and(|key| state.keys[key].is_owners)
        };
        let mut installs = state
            .installs
            .iter()
            .filter(|install| is_owners(install.last));
        installs.all(|install| {
            let holding = state.holding(install.last);
            let mut owners = holding
                .iter()
                .filter(|secret| state.credentials[*secret].is_owners);
            owners.all(|secret| self.opens(state, secret, install.last, false))
        })
    }
}

impl State {
    /// The devices that no thief leads in an epoch whose key was stolen.
    fn judged(&self) -> impl Iterator<Item = &Device> {
        self.devices.iter().filter(|device| !device.is_in_reach)
    }

    /// Whether a log contains a head, or the owner's acknowledgement that a log with this head was lost.
    fn accounts_for(&self, log: Head, head: Head) -> bool {
        self.extends(log, head)
            || self.entries(log).any(|(_, entry)| match entry.op {
                Op::Acknowledge(lost, _) => entry.by.is_some() && self.accounts_for(lost, head),
                _ => false,
            })
    }

    fn stays(&self, device: &Device) -> bool {
        let mut seen = device.seen.iter();
        device
            .pin
            .is_none_or(|pin| seen.all(|head| self.accounts_for(pin, head)))
    }

    fn forked_stay_apart(&self) -> bool {
        let devices: Vec<&Device> = self.judged().collect();
        devices.iter().enumerate().all(|(index, one)| {
            devices[index + 1..]
                .iter()
                .all(|other| self.meet_knowingly(one, other))
        })
    }

    /// Whether two devices are on different branches, or the owner acknowledged the loss of each head that one of them
    /// had seen on another branch.
    fn meet_knowingly(&self, one: &Device, other: &Device) -> bool {
        let (Some(a), Some(b)) = (one.pin, other.pin) else {
            return true;
        };
        let common = match (self.extends(a, b), self.extends(b, a)) {
            (true, _) => a,
            (_, true) => b,
            _ => return true,
        };
        let mut seen = one.seen.iter().chain(other.seen.iter());
        seen.all(|head| self.accounts_for(common, head))
    }

    fn is_explained(&self) -> bool {
        self.installs.iter().all(|install| {
            let Op::Acknowledge(lost, _) = self.log[install.first].op else {
                return true;
            };
            let made = self
                .entries(install.last)
                .filter_map(|(at, entry)| match entry.op {
                    Op::Credential(_, secret) if at >= install.first => secret,
                    _ => None,
                });
            let mut explained: Set = made.collect();
            explained.extend(self.holding(lost));
            self.holding(install.last)
                .iter()
                .all(|secret| explained.contains(secret))
        })
    }
}
