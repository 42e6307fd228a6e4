//! Registration, sessions and accounts.

pub mod auth;
pub mod me;
