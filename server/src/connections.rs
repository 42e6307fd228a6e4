//! The open connections: how many there are, from whom, and which of them wait for a request.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::Limits;
use crate::progress::{Connection, lock};

/// The connections of one server.
#[derive(Debug)]
pub(crate) struct Connections {
    open: Mutex<Open>,
    refused: AtomicU64,
    replaced: AtomicU64,
    timed_out: AtomicU64,
    abandoned: AtomicU64,
}

#[derive(Debug, Default)]
struct Open {
    next_id: u64,
    by_id: HashMap<u64, Arc<Connection>>,
    per_network: HashMap<IpAddr, usize>,
}

/// What a server did with connections since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The connections that are open now.
    pub open: u64,
    /// Closed at once, because there were too many.
    pub refused: u64,
    /// Closed while they waited for a request, to make room for a new one.
    pub replaced: u64,
    /// Closed because no request came in time.
    pub timed_out: u64,
    /// Answers that were given up because their client took nothing of them.
    pub abandoned: u64,
}

/// What counts as one client: an IPv4 address, or the 64 bits of an IPv6 address that are given out together.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        IpAddr::V4(address) => address.into(),
    }
}

impl Connections {
    pub(crate) fn new() -> Self {
        Self {
            open: Mutex::default(),
            refused: AtomicU64::new(0),
            replaced: AtomicU64::new(0),
            timed_out: AtomicU64::new(0),
            abandoned: AtomicU64::new(0),
        }
    }

    /// Registers a connection from `address` until the guard is dropped; `None` if there are too many.
    pub(crate) fn open(self: &Arc<Self>, address: IpAddr, limits: &Limits) -> Option<Guard> {
        let mut open = lock(&self.open);
        let network = network_of(address);
        let of_network = open.per_network.get(&network).copied().unwrap_or_default();
        let is_limited = !limits.unlimited.iter().any(|network| network.contains(&address.to_canonical()));
        let is_refused = is_limited && of_network >= limits.connections_per_address
            || open.by_id.len() >= limits.connections && !self.replace_one(&open);
        if is_refused {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let id = open.next_id;
        open.next_id += 1;
        let connection = Arc::new(Connection::new());
        open.by_id.insert(id, connection.clone());
        *open.per_network.entry(network).or_default() += 1;
        Some(Guard { connections: self.clone(), connection, id, network })
    }

    /// Closes the connection that has waited the longest for a request; false if none waits.
    fn replace_one(&self, open: &Open) -> bool {
        let waiting = open.by_id.values().filter(|connection| !connection.replaced.is_cancelled());
        let oldest =
            waiting.filter_map(|connection| Some((connection.waiting_since()?, connection))).min_by_key(|w| w.0);
        if let Some((_, connection)) = oldest {
            connection.replaced.cancel();
            self.replaced.fetch_add(1, Ordering::Relaxed);
        }
        oldest.is_some()
    }

    pub(crate) fn counts(&self) -> Counts {
        let open = u64::try_from(lock(&self.open).by_id.len()).unwrap_or(u64::MAX);
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            open,
            refused: read(&self.refused),
            replaced: read(&self.replaced),
            timed_out: read(&self.timed_out),
            abandoned: read(&self.abandoned),
        }
    }
}

/// Keeps a connection registered.
#[derive(Debug)]
pub(crate) struct Guard {
    connections: Arc<Connections>,
    pub(crate) connection: Arc<Connection>,
    id: u64,
    network: IpAddr,
}

impl Guard {
    /// Whether no request came within the time for one. Counts it if so.
    pub(crate) fn is_out_of_time(&self, limits: &Limits) -> bool {
        let is_out = self.connection.is_out_of_time(limits);
        if is_out {
            self.connections.timed_out.fetch_add(1, Ordering::Relaxed);
        }
        is_out
    }

    /// Gives up the answers of which the client has taken nothing for `limit`.
    pub(crate) fn abandon(&self, limit: Duration) {
        let abandoned = self.connection.abandon(limit);
        self.connections.abandoned.fetch_add(abandoned, Ordering::Relaxed);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut open = lock(&self.connections.open);
        open.by_id.remove(&self.id);
        if let Some(count) = open.per_network.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                open.per_network.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(connections: usize, connections_per_address: usize) -> Limits {
        Limits { connections, connections_per_address, ..Limits::default() }
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_network_has_a_share_of_its_own() {
        let (connections, limits) = (Arc::new(Connections::new()), limits(10, 2));
        let held: Vec<_> = (0..2).map(|_| connections.open(address("2001:db8::1"), &limits).unwrap()).collect();
        assert!(connections.open(address("2001:db8::ffff:1"), &limits).is_none(), "the same 64 bits");
        assert!(connections.open(address("2001:db8:0:1::1"), &limits).is_some());
        assert!(connections.open(address("::ffff:192.0.2.1"), &limits).is_some());
        drop(held);
        assert!(connections.open(address("2001:db8::1"), &limits).is_some());
        assert_eq!(connections.counts(), Counts { refused: 1, ..Counts::default() });
        assert!(lock(&connections.open).per_network.is_empty());
    }

    #[test]
    fn an_address_without_limit_is_not_counted_out() {
        let connections = Arc::new(Connections::new());
        let limits = Limits { unlimited: vec![address("192.0.2.7").into()], ..limits(10, 1) };
        let _held: Vec<_> = (0..5).map(|_| connections.open(address("::ffff:192.0.2.7"), &limits).unwrap()).collect();
        let _other = connections.open(address("192.0.2.8"), &limits).unwrap();
        assert!(connections.open(address("192.0.2.8"), &limits).is_none());
    }

    #[test]
    fn the_connection_that_waits_the_longest_makes_room() {
        let (connections, limits) = (Arc::new(Connections::new()), limits(2, 9));
        let [first, second] = [1, 2].map(|n| connections.open(address(&format!("192.0.2.{n}")), &limits).unwrap());
        let request = first.connection.begin();
        let third = connections.open(address("192.0.2.3"), &limits).unwrap();
        assert!(second.connection.replaced.is_cancelled() && !first.connection.replaced.is_cancelled());
        let in_progress = third.connection.begin();
        assert!(connections.open(address("192.0.2.4"), &limits).is_none(), "all the others are at work");
        drop((request, in_progress));
        assert!(connections.open(address("192.0.2.4"), &limits).is_some());
        assert!(first.connection.replaced.is_cancelled(), "its request ended first");
        assert!(!third.connection.replaced.is_cancelled());
    }
}
