//! The user on whose behalf something is done, and the origin of their request.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The role of a user, which decides what they may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "user_role", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Learns and shows projects.
    Student,
    /// Follows learners' progress and moderates projects.
    Mentor,
    /// Administers the platform.
    Admin,
}

/// Where a request came from.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Origin {
    /// The IP address of the client; `None` if it is not known.
    #[serde(default)]
    pub ip: Option<IpAddr>,
    /// The `User-Agent` header, at most 400 characters.
    #[serde(default)]
    pub user_agent: Option<String>,
}

/// The network that a client can be told apart by: the address itself for IPv4, and the /64 for IPv6, because whoever has one
/// address of a /64 usually has them all.
pub fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6((u128::from(ip) >> 64 << 64).into()),
    }
}

/// A signed-in, active user. Functions that read users' data take it as a parameter, so that they cannot be called without
/// one.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Identifies the user.
    pub user_id: Uuid,
    /// Identifies the session, and so the sign-in.
    pub session_id: Uuid,
    /// The role as stored now, which may differ from the one at the time of the sign-in.
    pub role: Role,
    /// Where the request came from.
    pub origin: Origin,
}

/// On whose behalf a transaction writes. The default is the platform itself, such as a worker or the command line.
#[derive(Clone, Debug, Default)]
pub struct Actor {
    /// Identifies the user; `None` for the platform itself, or for someone who has not signed in yet.
    pub user_id: Option<Uuid>,
    /// Where the request came from.
    pub origin: Origin,
}

impl From<&Caller> for Actor {
    fn from(caller: &Caller) -> Self {
        Self { user_id: Some(caller.user_id), origin: caller.origin.clone() }
    }
}

impl From<Origin> for Actor {
    fn from(origin: Origin) -> Self {
        Self { user_id: None, origin }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_an_address_or_a_subnet() {
        let network = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(network("192.0.2.7"), "192.0.2.7");
        assert_eq!(network("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("2001:db8:1:2::"), network("2001:db8:1:2:ffff::1"));
    }
}
