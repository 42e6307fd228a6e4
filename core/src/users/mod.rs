//! Users: accounts, invites, passwords, sessions and tokens.

pub mod accounts;
pub mod attempts;
pub mod bulk;
pub mod devices;
pub mod directory;
mod email;
pub mod erasure;
pub mod events;
pub mod export;
mod hash_queue;
mod hmac;
pub mod idempotency;
pub mod invites;
pub mod jobs;
pub mod listing;
pub mod mail;
pub mod password_rules;
pub mod passwords;
pub mod profile;
pub mod resets;
pub mod rules;
pub mod sessions;
pub(crate) mod stored_hash;
pub mod tokens;
mod user;
pub mod verifications;
