//! What runs over all areas: the list of jobs and the schedule, health and metrics, housekeeping, the check of every
//! derived value, and what operators do to queues and jobs.

pub mod health;
pub mod housekeeping;
pub mod jobs;
pub mod kinds;
pub mod maintenance;
pub mod metrics;
pub mod queues;
pub mod schedule;
pub mod verify;
