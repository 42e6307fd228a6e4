//! Registration, sessions and accounts.

mod auth;
mod me;
