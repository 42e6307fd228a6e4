//! Registration, sessions and accounts.

pub mod auth;
pub mod events;
pub mod me;
