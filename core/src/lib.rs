//! Cairn's domain: rules and SQL, with a folder for each area, and the infrastructure that all areas use.
//!
//! This crate depends neither on HTTP nor on the worker's loop. Functions that only read take a connection
//! (`&mut PgConnection`); functions that write take a [`db::Tx`]. A function that can refuse returns a
//! [`refusal::Rejected`]; [`Error`] is for failures that the caller can only report.

pub mod activity;
pub mod actor;
pub mod admin;
pub mod audit;
pub mod batcher;
pub mod bounds;
pub mod clock;
pub mod community;
pub mod config;
pub mod db;
mod error;
pub mod events;
pub mod failpoint;
pub mod learning;
pub mod legacy;
pub mod library;
pub mod noun;
pub mod program;
pub mod queue;
pub mod refusal;
mod repetition;
pub mod resource;
pub mod schema;
pub mod settings;
pub mod shutdown;
pub mod stats;
pub mod stream;
pub mod telemetry;
pub mod tools;
pub mod users;

pub use error::{Error, Result};
