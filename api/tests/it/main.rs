//! Integration tests: one file per area, all over [`support::TestApp`].

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod admin;
mod bodies;
mod community;
mod contract;
mod learning;
mod library;
mod process;
mod streams;
mod support;
mod tools;
mod users;
