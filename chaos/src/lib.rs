//! Runs the real binaries on a real Postgres under load, while processes are killed and the database is restarted.
//!
//! ```text
//! learners, mentors, editors ──HTTP──▶ cairn-api ──▶ Postgres ◀── cairn-worker × 3
//!                                          ▲             ▲              ▲
//!                                          └── faults: one every few seconds, in an order that depends on the seed
//! ```
//!
//! Everybody retries each call until it is answered, and records what was accepted. When all faults have been injected and
//! the queues are empty, every accepted action must have had exactly one effect, and every derived value must be correct.
//! With [`Plan::provider_faults`], there are also learners who do nothing but ask, and a provider that shows its faults at random:
//! each question must have exactly one reply, with one whole answer or a failure that was shown, and each attempt its usage.
//! `cargo xtask chaos` injects faults for minutes; its own tests inject each of them once.

mod answers;
mod asker;
mod count;
mod course;
mod editor;
mod expected;
mod fault;
mod learner;
mod mentor;
mod platform;
mod provider;
mod recovery;
mod replies;
mod run;
mod session;
mod trace;

pub use self::answers::Share;
pub use self::count::Report;
pub use self::fault::Fault;
pub use self::replies::Replies;
pub use self::run::{People, Plan, Progress, Schedule, run};
