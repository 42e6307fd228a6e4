//! What concerns all areas: the list of jobs and their schedule, health and metrics, housekeeping, the verification of every
//! derived value, and the actions of operators on queues and jobs.

pub mod clocks;
mod database_metrics;
pub mod health;
pub mod housekeeping;
pub mod jobs;
pub mod kinds;
pub mod maintenance;
pub mod metrics;
pub mod observation;
pub mod preflight;
mod process;
pub mod queues;
pub mod schedule;
pub mod verify;
