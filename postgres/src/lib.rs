//! Embedded Postgres: a private server for the dev platform and for tests.
//!
//! [`Server::start`] finds the server binaries of the machine (or fetches them), makes a cluster below a data root on
//! first use, and runs it on a free port of `127.0.0.1` behind a random password. The server never outlives its owner:
//! when the owning process ends, however it ends, a small watcher shuts the server down. [`testing`] gives each
//! test a database of its own on one shared throw-away server.
//!
//! What a data root holds:
//!
//! | entry | what |
//! |---|---|
//! | `data/` | the cluster; appears by rename once `initdb` is complete |
//! | `password` | the superuser's password, readable by the owner only |
//! | `port` | the port of the last start, used again where it is free |
//! | `owner.lock` | locked as long as a process runs this server; holds that process's id |
//! | `postgres.log` | what the server logged |
//!
//! Unix only: the server needs process groups, signals and file ownership.

mod account;
mod binaries;
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
pub use error::Error;
pub use options::{Durability, Options};
pub use server::Server;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;
