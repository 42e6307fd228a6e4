//! What concerns all areas: the list of jobs and their schedule, health and metrics, housekeeping, the verification of every
//! derived value, and the actions of operators on queues and jobs.

pub mod health;
pub mod housekeeping;
pub mod jobs;
pub mod kinds;
pub mod maintenance;
pub mod metrics;
pub mod preflight;
pub mod queues;
pub mod schedule;
pub mod verify;
