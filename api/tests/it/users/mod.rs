//! Registration, sessions and accounts.

mod accounts;
mod auth;
mod bulk;
mod erasure;
mod events;
mod export;
mod guessing;
mod invites;
mod mail;
mod me;
mod password;
mod password_resets;
mod sessions;
