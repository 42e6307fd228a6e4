//! Integration tests: a folder per area, all over [`support::TestApp`].

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod access;
mod audit;
mod bodies;
mod budgets;
mod community;
mod contract;
mod edge;
mod learning;
mod library;
mod moments;
mod process;
mod queue;
mod settings;
mod sizes;
mod stats;
mod support;
mod tools;
mod tour;
mod users;
mod waits;
