//! Limits of open connections, per sender and in total. When all are taken, a connection of the sender that holds
//! most is closed, so that a crowd of idle connections evicts only its own.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use storage::network::{network, site};

/// Number of networks whose connections one IPv6 site may hold together.
const NETWORKS_PER_SITE: usize = 4;

tokio::task_local! {
    /// The seat of the connection whose request is being handled.
    static SEAT: Arc<Seat>;
}

/// Limits of connections.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// All senders together.
    pub all: usize,
    /// Connections that were told to close and have not closed yet. As many new ones of senders that hold few are
    /// accepted meanwhile.
    pub leaving: usize,
    /// One IPv4 address or IPv6 /64; an IPv6 /48 may have four times as many.
    pub per_address: usize,
}

/// The connections that are open, by sender.
#[derive(Debug, Clone)]
pub struct Connections {
    table: Arc<Mutex<Table>>,
    limits: Limits,
}

#[derive(Debug, Default)]
struct Table {
    sites: HashMap<IpAddr, Site>,
    /// Number of open connections, including those that were told to close.
    open: usize,
    /// Number of connections that were not told to close.
    staying: usize,
    next: u64,
}

/// An IPv4 address, or an IPv6 /48.
#[derive(Debug, Default)]
struct Site {
    /// Connections that were not told to close, oldest first.
    seats: BTreeMap<u64, Arc<Seat>>,
    /// Number of open connections per network.
    open: HashMap<IpAddr, usize>,
}

/// Shared state of one connection.
#[derive(Debug, Default)]
struct Seat {
    has_session: AtomicBool,
    leave: Notify,
}

/// The permit of one connection; released when dropped.
#[derive(Debug)]
pub struct Place {
    connections: Connections,
    remote: IpAddr,
    number: u64,
    seat: Arc<Seat>,
}

/// Notes that a session uses the connection of the current request, so that connections without a session are closed
/// first.
pub fn note_session() {
    // Outside a connection there is nothing to note.
    let _ = SEAT.try_with(|seat| seat.has_session.store(true, Ordering::Relaxed));
}

impl Connections {
    /// No connections.
    pub fn new(limits: Limits) -> Self {
        Self {
            table: Arc::default(),
            limits,
        }
    }

    /// A permit for one more connection; `None` if the sender is at its limit, or its closing connections are too
    /// slow.
    pub fn enter(&self, remote: IpAddr) -> Option<Place> {
        let mut table = self.table();
        if !table.has_room_for(remote, &self.limits) {
            return None;
        }
        if table.staying >= self.limits.all {
            table.make_room();
        }
        let seat = Arc::default();
        let number = table.seat(remote, &seat);
        drop(table);
        Some(Place {
            connections: self.clone(),
            remote,
            number,
            seat,
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Limits a sender whose connections come back faster than they close to the room of its own.
    fn has_room_for(&self, remote: IpAddr, limits: &Limits) -> bool {
        let usual = limits.all.saturating_add(limits.leaving);
        let room = self.open < usual
            || self.open < usual.saturating_add(limits.leaving) && self.holds_few(remote);
        room && !self.is_full_for(remote, limits.per_address)
    }

    /// Whether the sender holds less than half as many connections as the largest one.
    fn holds_few(&self, remote: IpAddr) -> bool {
        let own = self.sites.get(&site(remote)).map_or(0, Site::held);
        let most = self.sites.values().map(Site::held).max();
        2 * own < most.unwrap_or_default()
    }

    fn is_full_for(&self, remote: IpAddr, per_address: usize) -> bool {
        self.sites.get(&site(remote)).is_some_and(|site| {
            let of_network = site.open.get(&network(remote)).copied();
            of_network.unwrap_or_default() >= per_address
                || site.held() >= per_address.saturating_mul(NETWORKS_PER_SITE)
        })
    }

    fn seat(&mut self, remote: IpAddr, seat: &Arc<Seat>) -> u64 {
        let number = self.next;
        self.next += 1;
        self.open += 1;
        self.staying += 1;
        let site = self.sites.entry(site(remote)).or_default();
        site.seats.insert(number, Arc::clone(seat));
        *site.open.entry(network(remote)).or_default() += 1;
        number
    }

    /// Tells one connection to close: of the site that holds most, the oldest one without a session.
    fn make_room(&mut self) {
        let sites = self.sites.values_mut();
        let most = sites.map(|site| site.seats.len()).max().unwrap_or_default();
        let crowded = self
            .sites
            .values_mut()
            .filter(|site| site.seats.len() == most);
        let first = crowded
            .filter_map(|site| Some((site.first_to_leave()?, site)))
            .min_by_key(|(first, _)| *first);
        if let Some(((_, number), site)) = first
            && let Some(seat) = site.seats.remove(&number)
        {
            seat.leave.notify_one();
            self.staying -= 1;
        }
    }

    fn leave(&mut self, remote: IpAddr, number: u64) {
        self.open -= 1;
        if let Entry::Occupied(mut entry) = self.sites.entry(site(remote)) {
            let site = entry.get_mut();
            if site.seats.remove(&number).is_some() {
                self.staying -= 1;
            }
            if let Entry::Occupied(mut count) = site.open.entry(network(remote)) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
            if site.open.is_empty() {
                entry.remove();
            }
        }
    }
}

impl Site {
    /// Number of open connections.
    fn held(&self) -> usize {
        self.open.values().sum()
    }

    /// Order of eviction: connections without a session first, then by age.
    fn first_to_leave(&self) -> Option<(bool, u64)> {
        let seats = self.seats.iter();
        seats
            .map(|(number, seat)| (seat.has_session.load(Ordering::Relaxed), *number))
            .min()
    }
}

impl Place {
    /// Holds the permit until the work is done; `None` if the connection is told to close, which drops the work and
    /// with it the stream.
    pub async fn hold<T>(self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = SEAT.scope(Arc::clone(&self.seat), work) => Some(done),
            () = self.seat.leave.notified() => None,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.table().leave(self.remote, self.number);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn connections(all: usize, per_address: usize) -> Connections {
        Connections::new(Limits {
            all,
            leaving: 5,
            per_address,
        })
    }

    fn ip(address: &str) -> IpAddr {
        address.parse().unwrap()
    }

    /// Whether the connection was told to close.
    async fn must_leave(place: Place) -> bool {
        place.hold(std::future::ready(())).await.is_none()
    }

    #[test]
    fn a_sender_has_so_many_places_and_each_is_given_back() {
        let connections = connections(100, 2);
        let [one, two, other] = ["2001:db8::1", "2001:db8::2", "192.0.2.1"].map(ip);
        let first = connections.enter(one);
        let second = connections.enter(two);
        assert!(first.is_some() && second.is_some());
        assert!(connections.enter(one).is_none() && connections.enter(two).is_none());
        assert!(connections.enter(other).is_some());
        drop(first);
        assert!(connections.enter(two).is_some());
        drop(second);
        let table = connections.table();
        assert!(table.sites.is_empty() && (table.open, table.staying) == (0, 0));
    }

    #[test]
    fn neighbouring_ipv6_networks_share_a_bound() {
        let connections = connections(100, 2);
        let network = |number: u32| ip(&format!("2001:db8:0:{number:x}::1"));
        let places: Vec<_> = (0..20)
            .filter_map(|number| connections.enter(network(number)))
            .collect();
        assert_eq!(places.len(), 8);
        assert!(connections.enter(ip("2001:db8:1::1")).is_some());
    }

    #[actix_web::test]
    async fn whoever_holds_most_makes_room_with_the_oldest_that_has_no_session() {
        let connections = connections(10, 100);
        let (crowd, owner) = (ip("192.0.2.1"), ip("192.0.2.2"));
        let mine = connections.enter(owner).unwrap();
        let mut theirs: Vec<Option<Place>> = (0..9).map(|_| connections.enter(crowd)).collect();
        let with_session = theirs[0].as_ref().unwrap();
        SEAT.sync_scope(Arc::clone(&with_session.seat), note_session);
        // From anywhere, and from the crowd itself.
        let newcomer = connections.enter(ip("192.0.2.3")).unwrap();
        let another = connections.enter(crowd).unwrap();
        for (number, leaves) in [(0, false), (1, true), (2, true), (3, false)] {
            let place = theirs[number].take().unwrap();
            // One that is told to leave is not polled first: whichever is ready wins, so ask it alone.
            let told = tokio::time::timeout(std::time::Duration::ZERO, place.seat.leave.notified());
            assert_eq!(told.await.is_ok(), leaves, "{number}");
        }
        for place in [mine, newcomer, another] {
            assert!(!must_leave(place).await);
        }
    }

    #[actix_web::test]
    async fn those_who_do_not_leave_are_no_way_to_hold_more() {
        let connections = connections(10, 1000);
        let places: Vec<_> = (0..1000)
            .filter_map(|_| connections.enter(ip("192.0.2.1")))
            .collect();
        assert_eq!(places.len(), 10 + 5);
        // Others are not shut out by them.
        let others: Vec<_> = (0..1000)
            .filter_map(|number| connections.enter(ip(&format!("192.0.2.{}", 2 + number % 250))))
            .collect();
        assert_eq!(others.len(), 5);
        drop((places, others));
        assert!(connections.enter(ip("192.0.2.1")).is_some());
    }
}
