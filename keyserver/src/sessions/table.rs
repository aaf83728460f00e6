//! Maps that cannot grow without bound.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// What was started and must be finished soon. When it is full the oldest makes room: filling the table from outside
/// then only costs those who take longer than everyone else.
#[derive(Debug)]
pub struct Pending<K, V> {
    entries: HashMap<K, V>,
    /// Every key of `entries`, oldest first, with its deadline; keys that were taken stay until then.
    order: VecDeque<(Instant, K)>,
    capacity: usize,
    timeout: Duration,
}

impl<K: Copy + Eq + Hash, V> Pending<K, V> {
    /// An empty table for so many entries, each good for `timeout`.
    pub fn new(capacity: usize, timeout: Duration) -> Self {
        Self {
            entries: HashMap::new(),
            order: VecDeque::new(),
            capacity,
            timeout,
        }
    }

    /// Keeps `value` under `key`, which must be fresh.
    pub fn insert(&mut self, key: K, value: V, now: Instant) {
        self.sweep(now);
        while self.order.len() >= self.capacity {
            self.drop_oldest();
        }
        self.order.push_back((now + self.timeout, key));
        self.entries.insert(key, value);
    }

    /// Takes out what is under `key`, unless it is too old.
    pub fn take(&mut self, key: &K, now: Instant) -> Option<V> {
        self.sweep(now);
        self.entries.remove(key)
    }

    /// Drops what is too old.
    pub fn sweep(&mut self, now: Instant) {
        while self
            .order
            .front()
            .is_some_and(|(deadline, _)| *deadline <= now)
        {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some((_, key)) = self.order.pop_front() {
            self.entries.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_taken_once_expire_and_make_room() {
        let mut table = Pending::new(2, Duration::from_mins(1));
        let start = Instant::now();
        table.insert(1, 'a', start);
        assert_eq!(table.take(&1, start), Some('a'));
        assert_eq!(table.take(&1, start), None);
        table.insert(2, 'b', start);
        table.insert(3, 'c', start);
        table.insert(4, 'd', start + Duration::from_secs(30));
        assert_eq!(table.take(&2, start), None);
        let later = start + Duration::from_mins(1);
        assert_eq!(table.take(&3, later), None);
        assert_eq!(table.take(&4, later), Some('d'));
    }
}
