//! Registration, sessions and accounts.

pub mod auth;
pub mod events;
pub mod export;
pub mod mail;
pub mod me;
pub mod password;
pub mod sessions;
