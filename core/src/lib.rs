//! Cairn's domain: rules and SQL, one folder per area, plus what every area stands on.
//!
//! This crate knows neither HTTP nor the worker's loop. Functions take a connection (`&mut PgConnection`) or, where they
//! write, a [`db::Tx`]; they return an `Option` or an outcome enum, and [`Error`] only for what no caller can act on.

pub mod activity;
pub mod actor;
pub mod admin;
pub mod batcher;
pub mod clock;
pub mod community;
pub mod config;
pub mod db;
mod error;
pub mod failpoint;
pub mod learning;
pub mod library;
pub mod queue;
pub mod refusal;
pub mod resource;
pub mod settings;
pub mod shutdown;
pub mod telemetry;
pub mod tools;
pub mod users;

pub use error::{Error, Result};
