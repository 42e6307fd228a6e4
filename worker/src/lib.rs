//! The worker: claims jobs from the queues and runs them.
//!
//! ```text
//! apalis.jobs ──▶ queue::Producer ──Backend──▶ apalis worker ──▶ adapter::run ──▶ jobs::<kind>::run
//!      ▲                                                              │
//!      └── queue::Completer (batched, retried until stored) ◀─────────┘ outcome
//! ```
//!
//! [`run()`] is the whole process; `jobs/` holds one file per kind of job.

mod adapter;
mod board;
mod context;
pub mod embeddings;
mod failure;
mod generation;
mod health;
mod http;
mod jobs;
mod listener;
mod mail_hook;
mod metrics;
mod ops;
pub mod providers;
mod queue;
mod run;
mod runner;
mod schedule;
pub mod testing;

pub use self::context::Context;
pub use self::run::{DRAIN_LIMIT, JobError, STOP_LIMIT};
pub use self::runner::{run, serve};
