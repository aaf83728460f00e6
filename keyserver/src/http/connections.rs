//! How many connections each sender holds: what one address can take must leave room for all others.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::network::network;

/// The connections that are open, by sender.
#[derive(Debug, Clone)]
pub struct Connections {
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
    per_address: usize,
}

/// The place of one connection; free again when dropped.
#[derive(Debug)]
pub struct Place {
    connections: Connections,
    network: IpAddr,
}

impl Connections {
    /// No connections yet, and so many for each sender.
    pub fn new(per_address: usize) -> Self {
        Self {
            open: Arc::default(),
            per_address,
        }
    }

    /// A place for one more connection, unless this sender has them all.
    pub fn enter(&self, remote: IpAddr) -> Option<Place> {
        let network = network(remote);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(network).or_default();
        if *count >= self.per_address {
            return None;
        }
        *count += 1;
        Some(Place {
            connections: self.clone(),
            network,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let open = &self.connections.open;
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = open.entry(self.network) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_has_so_many_places_and_each_is_given_back() {
        let connections = Connections::new(2);
        let [one, two, other] = ["2001:db8::1", "2001:db8::2", "192.0.2.1"]
            .map(|address| address.parse::<IpAddr>().unwrap());
        let first = connections.enter(one);
        let second = connections.enter(two);
        assert!(first.is_some() && second.is_some());
        assert!(connections.enter(one).is_none() && connections.enter(two).is_none());
        assert!(connections.enter(other).is_some());
        drop(first);
        assert!(connections.enter(two).is_some());
        drop(second);
        assert!(connections.open.lock().unwrap().is_empty());
    }
}
