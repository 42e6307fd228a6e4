//! Registration, sessions and accounts.

pub mod auth;
pub mod export;
pub mod me;
pub mod password;
pub mod sessions;
