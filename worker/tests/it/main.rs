//! The worker against a real Postgres.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod browser;
mod eyes;
mod faults;
mod jobs;
mod shutdown;
mod support;
