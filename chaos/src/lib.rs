//! Runs the real binaries on a real Postgres under load, while processes are killed and the database is restarted.
//!
//! ```text
//! learners ──HTTP──▶ cairn-api ──▶ Postgres ◀── cairn-worker × 3
//!                        ▲             ▲              ▲
//!                        └── faults: one every few seconds, in an order that depends on the seed
//! ```
//!
//! Learners retry each call until it is answered, and record what was accepted. When all faults have been injected and the
//! queues are empty, every accepted action must have had exactly one effect, and every derived value must be correct.
//! `cargo xtask chaos` injects faults for minutes; the tests of the worker inject each of them once.

mod count;
mod course;
mod fault;
mod learner;
mod platform;
pub mod processes;
mod recovery;
mod run;

pub use self::count::Report;
pub use self::fault::Fault;
pub use self::run::{Plan, Progress, Schedule, run};
