//! Bounded maps of pending state.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use storage::network::network;

/// Entries that were started and must be finished before a deadline. A full table evicts the oldest entry of the
/// network that has most, so that a flood from a few networks evicts only its own entries.
#[derive(Debug)]
pub struct Pending<K, V> {
    entries: HashMap<K, V>,
    /// Every key of `entries`, oldest first; taken keys stay until their deadline.
    order: VecDeque<Started<K>>,
    /// Number of keys in `order` per network.
    started: HashMap<IpAddr, usize>,
    capacity: usize,
    timeout: Duration,
}

#[derive(Debug)]
struct Started<K> {
    deadline: Instant,
    key: K,
    network: IpAddr,
}

impl<K: Copy + Eq + Hash, V> Pending<K, V> {
    /// An empty table with a limit of entries, each valid for `timeout`.
    pub fn new(capacity: usize, timeout: Duration) -> Self {
        Self {
            entries: HashMap::new(),
            order: VecDeque::new(),
            started: HashMap::new(),
            capacity,
            timeout,
        }
    }

    /// Inserts the value that `remote` started under a new key.
    pub fn insert(&mut self, key: K, value: V, remote: IpAddr, now: Instant) {
        self.sweep(now);
        while self.order.len() >= self.capacity.max(1) {
            self.make_room();
        }
        let network = network(remote);
        self.order.push_back(Started {
            deadline: now + self.timeout,
            key,
            network,
        });
        *self.started.entry(network).or_default() += 1;
        self.entries.insert(key, value);
    }

    /// Removes and returns the value of `key`; `None` after the deadline.
    pub fn take(&mut self, key: &K, now: Instant) -> Option<V> {
        self.sweep(now);
        self.entries.remove(key)
    }

    /// Removes entries after their deadline.
    pub fn sweep(&mut self, now: Instant) {
        while self.order.front().is_some_and(|old| old.deadline <= now) {
            self.drop_at(0);
        }
    }

    fn make_room(&mut self) {
        let most = self.started.values().copied().max().unwrap_or_default();
        let crowded = |old: &Started<K>| self.started.get(&old.network) == Some(&most);
        let oldest = self.order.iter().position(crowded);
        self.drop_at(oldest.unwrap_or_default());
    }

    fn drop_at(&mut self, place: usize) {
        let Some(old) = self.order.remove(place) else {
            return;
        };
        self.entries.remove(&old.key);
        if let Entry::Occupied(mut count) = self.started.entry(old.network) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const ONE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn entries_are_taken_once_expire_and_make_room() {
        let mut table = Pending::new(2, Duration::from_mins(1));
        let start = Instant::now();
        table.insert(1, 'a', ONE, start);
        assert_eq!(table.take(&1, start), Some('a'));
        assert_eq!(table.take(&1, start), None);
        table.insert(2, 'b', ONE, start);
        table.insert(3, 'c', ONE, start);
        table.insert(4, 'd', ONE, start + Duration::from_secs(30));
        assert_eq!(table.take(&2, start), None);
        let later = start + Duration::from_mins(1);
        assert_eq!(table.take(&3, later), None);
        assert_eq!(table.take(&4, later), Some('d'));
    }

    #[test]
    fn a_flood_makes_room_for_others() {
        let mut table = Pending::new(100, Duration::from_mins(1));
        let start = Instant::now();
        table.insert(0, 'a', OTHER, start);
        for key in 1..10_000 {
            table.insert(key, 'x', ONE, start);
        }
        assert_eq!(table.take(&0, start), Some('a'));
        assert_eq!(table.take(&9_999, start), Some('x'));
        assert_eq!(table.order.len(), 100);
        table.sweep(start + Duration::from_mins(1));
        assert!(table.entries.is_empty() && table.started.is_empty());
    }
}
