//! The protocol of leases (docs/JOBS.md) as a model. `model/check` looks at every state that can be reached.
//!
//! - [`row`]: what each statement does to the row of a job. The model and the traces of chaos runs share it.
//! - [`state`]: jobs, workers, steps, and the faults that tests seed.
//! - [`protocol`]: what happens at each step, when workers claim, run and end jobs, freeze, die and lose answers.
//! - [`trace`]: whether what a database recorded is something that the statements do.

pub mod protocol;
pub mod row;
pub mod state;
pub mod trace;
