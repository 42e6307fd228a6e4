//! Tests of the worker against a real Postgres.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod alarms;
mod browser;
mod content;
mod course;
mod crash;
mod faults;
mod isolation;
mod jobs;
mod locks;
mod observability;
mod program;
mod progress;
mod replies;
mod shutdown;
mod support;
