//! Integration tests.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod course;
mod jobs;
mod rollup;
mod schema;
mod support;
mod verify;
