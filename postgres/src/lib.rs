//! Embedded Postgres: a private server for `cairn dev` and for tests.
//!
//! [`Server::start`] finds the server binaries of the machine (or downloads them), creates a cluster in a data root on first
//! use, and runs it on a free port of `127.0.0.1` with a random password. The server never outlives its owner: when the
//! owning process ends, in whatever way, a small watcher shuts the server down. [`testing`] gives each test a database of
//! its own on one shared throw-away server.
//!
//! The contents of a data root:
//!
//! | entry | purpose |
//! |---|---|
//! | `data/` | the cluster; created by a rename once `initdb` is complete |
//! | `password` | the superuser's password, readable by the owner only |
//! | `port` | the port of the last start, which is reused if it is free |
//! | `owner.lock` | locked while a process runs this server; contains the id of the process |
//! | `postgres.log` | the log of the server |
//!
//! Unix only, because it needs process groups, signals and file ownership.

mod account;
mod binaries;
mod checksums;
mod cluster;
mod database;
mod download;
mod error;
mod layout;
mod options;
mod owner;
mod postmaster;
mod server;
mod startup;
pub mod testing;
mod watcher;

pub use binaries::{Binaries, Search};
pub use database::role_url;
pub use error::Error;
pub use options::{Durability, Options};
pub use server::Server;

/// The result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
