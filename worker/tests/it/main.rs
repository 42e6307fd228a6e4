//! The worker against a real Postgres.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod faults;
mod jobs;
mod replies;
mod shutdown;
mod support;
