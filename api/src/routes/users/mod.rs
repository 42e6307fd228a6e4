//! Registration, sessions and accounts.

pub mod auth;
pub mod events;
pub mod export;
pub mod me;
pub mod password;
pub mod sessions;
