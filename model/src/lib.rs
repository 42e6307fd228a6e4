//! The protocol of leases (docs/JOBS.md) as a model. `model/check` looks at every state that can be reached.
//!
//! - [`row`]: what each statement does to the row of a job. The model and the traces of chaos runs share it.
//! - [`protocol`]: workers that claim, run and end jobs, freeze, die and lose answers, with the faults that tests seed.
//! - [`trace`]: whether what a database recorded is something that the statements do.

pub mod protocol;
pub mod row;
pub mod trace;
