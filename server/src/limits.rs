//! The limits of a server.

use std::time::Duration;

use ipnet::IpNet;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What clients may keep and how long they may take. [`Limits::default`] suits a public server.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The maximum number of open connections.
    pub connections: usize,
    /// The maximum number of open connections from one IPv4 address or one IPv6 network of 64 bits.
    pub connections_per_address: usize,
    /// The networks whose addresses may have any number of connections, such as that of a reverse proxy.
    pub unlimited: Vec<IpNet>,
    /// The maximum number of HTTP/2 streams that one connection may have open.
    pub streams: u32,
    /// The time from a new connection to the end of the header of its first request.
    pub first_request: Duration,
    /// The time from the end of a request to the end of the next one's header.
    pub idle: Duration,
    /// How long a client may take nothing of an answer.
    pub write: Duration,
    /// How long the rest of a request's body is read that its handler did not read, so that the client sees the answer.
    pub unread: Duration,
}

/// The descriptors that are left for the database, files and the private port.
const RESERVED_DESCRIPTORS: usize = 128;

impl Default for Limits {
    fn default() -> Self {
        let connections = connections_within(descriptors());
        Self {
            connections,
            connections_per_address: share_of(connections),
            unlimited: Vec::new(),
            streams: 100,
            first_request: Duration::from_secs(10),
            idle: Duration::from_mins(1),
            write: Duration::from_secs(20),
            unread: Duration::from_secs(5),
        }
    }
}

impl Limits {
    /// The same limits for that many connections.
    #[must_use]
    pub fn with_connections(self, connections: usize) -> Self {
        Self { connections, connections_per_address: share_of(connections), ..self }
    }

    /// The limits of a port for operators: few connections, whatever the process may have.
    pub fn private() -> Self {
        Self { connections: 32, connections_per_address: 32, ..Self::default() }
    }

    /// How often a connection is compared with the limits.
    pub(crate) fn check_interval(&self) -> Duration {
        self.first_request.min(self.idle).min(self.write) / 4
    }
}

/// How many of the connections one address may have.
fn share_of(connections: usize) -> usize {
    (connections / 8).max(8)
}

/// At most 10,000 connections, and at most half of few descriptors.
fn connections_within(descriptors: usize) -> usize {
    (descriptors - RESERVED_DESCRIPTORS.min(descriptors / 2)).min(10_000)
}

/// How many descriptors this process may have.
fn descriptors() -> usize {
    getrlimit(Resource::Nofile).current.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Raises the number of descriptors that this process may have as far as the system allows. Call it before [`Limits`] are
/// made. The usual limit of 1,024 is there for programs that use `select`, which nothing here does.
pub fn raise_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
    {
        tracing::warn!(error = %error, "the number of descriptors could not be raised");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_everything_else() {
        assert_eq!(connections_within(100), 50);
        assert_eq!(connections_within(1024), 896);
        assert_eq!(connections_within(1_048_576), 10_000);
    }
}
