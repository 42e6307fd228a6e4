//! Who acts: the signed-in user behind a request, and where the request came from.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What a person may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "user_role", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Learns.
    Student,
    /// Watches progress and moderates.
    Mentor,
    /// Runs the platform.
    Admin,
}

/// Where a request came from.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Origin {
    /// Address of the client.
    #[serde(default)]
    pub ip: Option<IpAddr>,
    /// Its `User-Agent`, at most 400 characters.
    #[serde(default)]
    pub user_agent: Option<String>,
}

/// A signed-in, active user. Finders take it, so that nothing is read for nobody in particular.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who.
    pub user_id: Uuid,
    /// The sign-in.
    pub session_id: Uuid,
    /// As stored now, not as it was when the token was issued.
    pub role: Role,
    /// Where the request came from.
    pub origin: Origin,
}

/// On whose behalf a transaction writes. The default is the platform itself: a worker, or the command line.
#[derive(Clone, Debug, Default)]
pub struct Actor {
    /// The user who acts; `None` is the platform itself, or somebody who is about to sign in.
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
