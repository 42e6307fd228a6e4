//! A user as the operations about accounts and sessions know them.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::actor::Role;

/// An account as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Identifies the user.
    pub id: Uuid,
    /// The email address as the user typed it.
    pub email: String,
    /// Whether the user has proved that it is theirs.
    pub is_email_verified: bool,
    /// 1–100 characters.
    pub first_name: String,
    /// 1–100 characters; `None` if the user gave no last name.
    pub last_name: Option<String>,
    /// The address of a picture.
    pub avatar_url: Option<String>,
    /// Decides what the user may do.
    pub role: Role,
    /// Whole percent of the required lessons of all roadmaps that the user started; `None` if they started none.
    pub progress_percent: Option<i16>,
    /// When the user registered.
    pub created_at: DateTime<Utc>,
}

/// What is needed to check a password.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The account.
    pub user: User,
    /// The stored hash; `None` if the account has no password, so that signing in is impossible until a reset.
    pub password_hash: Option<String>,
    /// Whether the account is suspended. Callers may reveal this only after the password was verified.
    pub is_suspended: bool,
}

impl User {
    /// First and last name, separated by a space.
    pub fn name(&self) -> String {
        let names = [Some(self.first_name.as_str()), self.last_name.as_deref()];
        names.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}
