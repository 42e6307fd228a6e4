//! Users: accounts, invites, passwords, sessions and tokens.

pub mod accounts;
pub mod events;
pub mod idempotency;
pub mod invites;
pub mod passwords;
pub mod rules;
pub mod sessions;
pub mod tokens;
