//! Registration, sessions and accounts.

mod auth;
mod events;
mod me;
