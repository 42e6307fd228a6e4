//! The worker against a real Postgres.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod browser;
mod content;
mod course;
mod crash;
mod eyes;
mod faults;
mod isolation;
mod jobs;
mod progress;
mod replies;
mod shutdown;
mod support;
