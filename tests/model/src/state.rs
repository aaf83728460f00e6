//! The state of the model: a tree of log entries, account keys, credentials, and what each device has verified.

use std::collections::BTreeSet;

/// A log entry, and the log that ends with it: its position in [`State::log`] stands for its hash.
pub type Head = usize;
/// An account key, by its position in [`State::keys`]; also stands for the log-signing key that descends from it.
pub type Key = usize;
/// A password, a recovery code or a device's credential, by its position in [`State::credentials`].
pub type Secret = usize;

/// A device that no owner holds any more: the thief's.
pub const STOLEN_DEVICE: u8 = 9;

/// A set of small numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Set(u64);

impl Set {
    /// Adds a member; returns whether it was new.
    pub fn insert(&mut self, member: usize) -> bool {
        let before = self.0;
        self.0 |= 1 << member;
        self.0 != before
    }

    /// Adds all members of another set.
    pub fn extend(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Whether it contains the member.
    pub fn contains(self, member: usize) -> bool {
        self.0 & (1 << member) != 0
    }

    /// Whether the two sets have a member in common.
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The members, in ascending order.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (0..64).filter(move |member| self.contains(*member))
    }
}

impl FromIterator<usize> for Set {
    fn from_iter<I: IntoIterator<Item = usize>>(members: I) -> Self {
        let mut set = Self::default();
        for member in members {
            set.insert(member);
        }
        set
    }
}

/// A slot of the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// The password.
    Password,
    /// The recovery code.
    Recovery,
    /// A device's own credential.
    Device(u8),
}

/// The operation of a log entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    /// The first entry: names the first log key.
    Genesis(Key),
    /// Begins a key epoch.
    Rekey(Key),
    /// The next generation of a slot; `None` revokes it.
    Credential(Slot, Option<Secret>),
    /// A loss was accepted: the lost head, and the log key that signed for it.
    Acknowledge(Head, Option<Key>),
    /// A value was written.
    Put,
}

/// An entry of the tree of logs. Those of one owner with one honest server form a line; a fork is a second branch.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The entry before it.
    pub previous: Option<Head>,
    /// The operation.
    pub op: Op,
    /// The device of the owner that signed it; `None` for the attacker.
    pub by: Option<u8>,
}

/// An account key, with everything that was ever sealed under it or for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AccountKey {
    /// The keys of the former epochs, as the key history under this key lists them.
    pub former: Vec<Key>,
    /// The credentials that a slot key encapsulates it to.
    pub encapsulated: Set,
    /// Whether a device of the owner made it.
    pub is_owners: bool,
}

/// A credential, with the account key that it wraps.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Credential {
    /// Its slot.
    pub slot: Slot,
    /// The account key of the epoch in which it was made, wrapped under its export key.
    pub wraps: Key,
    /// The number of that epoch, from 1.
    pub epoch: usize,
    /// Whether the owner knows it.
    pub is_owners: bool,
}

/// What a device keeps.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Device {
    /// The newest head that it has verified; its epoch, log key and credentials are pinned with it. `None` at first
    /// contact.
    pub pin: Option<Head>,
    /// First entries of requests that the server refused.
    pub refused: Set,
    /// Each head that was ever pinned. The device does not use it: it is for the properties.
    pub seen: Set,
    /// Credentials that the device has seen replaced or revoked by the owner. For the properties.
    pub ended: Set,
    /// Whether it follows a thief's fork from an epoch whose key the thief holds, which the protocol does not prevent.
    pub is_in_reach: bool,
}

/// A written value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value {
    /// The account key that seals it.
    pub key: Key,
    /// The credentials that its writer had seen replaced or revoked.
    pub ended: Set,
    /// The credentials that held for its writer.
    pub holding: Set,
}

/// One request that installs credentials: its entries are stored all or none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Install {
    /// Its first entry.
    pub first: Head,
    /// Its last entry.
    pub last: Head,
    /// Whether the device learned that it was stored.
    pub is_answered: bool,
}

/// The number of times that each kind of action was taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Taken {
    /// Changes of credentials and keys.
    pub changes: u8,
    /// Values written.
    pub values: u8,
    /// Losses acknowledged.
    pub acknowledgements: u8,
    /// Requests that were killed, refused, or whose answer was lost.
    pub interruptions: u8,
    /// Forgeries by the attacker.
    pub forgeries: u8,
}

/// The state of the owner's devices and of everything that the operator ever stored.
///
/// The operator keeps every copy of the server and shows each device whichever it likes, so that there is no state of
/// the server: each action of a device names the head that it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// All entries that were ever signed.
    pub log: Vec<Entry>,
    /// All account keys.
    pub keys: Vec<AccountKey>,
    /// All credentials.
    pub credentials: Vec<Credential>,
    /// The devices of the owner.
    pub devices: Vec<Device>,
    /// Requests of the owner's devices that install credentials.
    pub installs: Vec<Install>,
    /// Values that were written.
    pub values: BTreeSet<Value>,
    /// Credentials whose secret the attacker has.
    pub stolen: Set,
    /// Account keys that the attacker can derive from `stolen` and all that was ever stored.
    pub known: Set,
    /// Actions taken so far.
    pub taken: Taken,
}

impl State {
    /// The entries of a log, newest first.
    pub fn entries(&self, head: Head) -> impl Iterator<Item = (Head, &Entry)> {
        let first = Some((head, &self.log[head]));
        std::iter::successors(first, |(_, entry)| {
            entry.previous.map(|head| (head, &self.log[head]))
        })
    }

    /// Whether a log goes through a head.
    pub fn extends(&self, log: Head, head: Head) -> bool {
        self.entries(log).any(|(at, _)| at == head)
    }

    /// The account keys of a log, one per epoch.
    pub fn chain(&self, log: Head) -> Vec<Key> {
        let keys = self.entries(log).filter_map(|(_, entry)| match entry.op {
            Op::Genesis(key) | Op::Rekey(key) => Some(key),
            _ => None,
        });
        let mut keys: Vec<Key> = keys.collect();
        keys.reverse();
        keys
    }

    /// The account key of the newest epoch of a log.
    pub fn key(&self, log: Head) -> Option<Key> {
        self.chain(log).last().copied()
    }

    /// The newest generation of a slot, and its credential; generation 0 where there is none.
    pub fn newest(&self, log: Head, slot: Slot) -> (usize, Option<Secret>) {
        let mut generations = self.entries(log).filter_map(|(_, entry)| match entry.op {
            Op::Credential(of, secret) if of == slot => Some(secret),
            _ => None,
        });
        let newest = generations.next();
        (
            usize::from(newest.is_some()) + generations.count(),
            newest.flatten(),
        )
    }

    /// The slots that a log names.
    pub fn slots(&self, log: Head) -> BTreeSet<Slot> {
        let slots = self.entries(log).filter_map(|(_, entry)| match entry.op {
            Op::Credential(slot, _) => Some(slot),
            _ => None,
        });
        slots.collect()
    }

    /// The credentials that hold after a log.
    pub fn holding(&self, log: Head) -> Set {
        let slots = self.slots(log).into_iter();
        slots.filter_map(|slot| self.newest(log, slot).1).collect()
    }

    /// The credentials that the owner has replaced or revoked in a log.
    pub fn ended(&self, log: Head) -> Set {
        let mut ended = Set::default();
        for (head, entry) in self.entries(log) {
            if let (Op::Credential(slot, _), Some(_), Some(before)) =
                (entry.op, entry.by, entry.previous)
            {
                debug_assert!(head > before);
                ended.extend(self.newest(before, slot).1.into_iter().collect());
            }
        }
        ended
    }

    /// Adds an entry; returns the head that it leads to.
    pub fn append(&mut self, previous: Option<Head>, op: Op, by: Option<u8>) -> Head {
        self.log.push(Entry { previous, op, by });
        self.log.len() - 1
    }

    /// Makes an account key for the epoch after `former`.
    pub fn make_key(&mut self, former: Vec<Key>, is_owners: bool) -> Key {
        self.keys.push(AccountKey {
            former,
            encapsulated: Set::default(),
            is_owners,
        });
        self.keys.len() - 1
    }

    /// Makes a credential that wraps the newest account key of a log.
    pub fn make_credential(&mut self, slot: Slot, log: Head, is_owners: bool) -> Secret {
        let chain = self.chain(log);
        self.credentials.push(Credential {
            slot,
            wraps: chain[chain.len() - 1],
            epoch: chain.len(),
            is_owners,
        });
        self.credentials.len() - 1
    }

    /// Pins a head that a device has verified.
    pub fn pin(&mut self, device: u8, head: Head) {
        let ended = self.ended(head);
        let device = &mut self.devices[usize::from(device)];
        device.pin = Some(head);
        device.seen.insert(head);
        device.ended.extend(ended);
    }
}
