//! People: who calls, how they get in, how they stay in.

pub mod accounts;
pub mod idempotency;
pub mod invites;
pub mod passwords;
pub mod rules;
pub mod sessions;
pub mod tokens;
