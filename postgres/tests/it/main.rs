//! Tests of the embedded Postgres with real servers.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod binaries;
mod crash;
mod lifecycle;

mod support;
mod testing;
