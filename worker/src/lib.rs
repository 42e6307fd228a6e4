//! The worker: takes jobs from the queues and runs them.
//!
//! ```text
//! apalis.jobs ──claim──▶ queue::Desk ──Backend──▶ apalis worker ──▶ adapter::run ──▶ jobs::<kind>::run
//!      ▲                                                                  │
//!      └──────────────── finish (batched, repeated until stored) ◀────────┘ outcome
//! ```
//!
//! [`run`] is the whole process; `jobs/` holds one file per kind of job.

mod adapter;
mod bells;
mod board;
mod context;
mod jobs;
mod metrics;
mod ops;
pub mod providers;
mod queue;
mod runner;
mod schedule;
pub mod testing;
mod vitals;

pub use self::adapter::JobError;
pub use self::context::Context;
pub use self::runner::{DRAIN_LIMIT, run, serve};
