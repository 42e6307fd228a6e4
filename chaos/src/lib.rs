//! Real binaries, a real Postgres and learners over HTTP, while processes are killed and the database is restarted.
//!
//! ```text
//! learners ──HTTP──▶ cairn-api ──▶ Postgres ◀── cairn-worker × 3
//!                        ▲             ▲              ▲
//!                        └──── blows: one every few seconds, in an order that the seed tells
//! ```
//!
//! Learners repeat each call until it is answered and remember what was accepted. When the blows are over and the queues
//! are empty, every accepted action must have had exactly one effect, and every derived value must be right.
//! `cargo xtask chaos` runs it for minutes, the tests of the worker once through all blows.

mod blow;
mod count;
mod course;
mod learner;
mod platform;
pub mod processes;
mod recovery;
mod run;

pub use self::blow::Blow;
pub use self::count::Report;
pub use self::run::{Blows, Plan, Progress, run};
