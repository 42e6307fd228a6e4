//! The worker against a real Postgres.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod crash;
mod faults;
mod isolation;
mod jobs;
mod shutdown;
mod support;
