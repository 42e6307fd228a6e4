//! The worker against a real Postgres.

mod faults;
mod jobs;
mod shutdown;
mod support;
