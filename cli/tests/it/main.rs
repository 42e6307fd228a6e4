//! Tests of the `cairn` command as a process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod adoption;
mod database;
mod dev;
mod help;
mod import;
mod jobs;
mod locale;
mod pages;
mod pooler;
mod replication;
mod support;
mod traces;
mod users;
