//! The scheduled jobs: the reconciler and housekeeping.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::queue::{Job, Queue};

/// Enqueues work whose job was lost: stale markers, replies without a job, roadmaps that have to be recomputed.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Reconcile {}

impl Job for Reconcile {
    const KIND: &'static str = "reconcile";
    const QUEUE: Queue = Queue::Maintenance;
    const MAX_ATTEMPTS: i32 = 10; // safe to repeat, so a lost worker should not leave a dead job for an operator
    const DEADLINE: Duration = Duration::from_secs(20);
}

/// One round of housekeeping: partitions, retention, expired sessions. Set-based and safe to repeat.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Housekeeping {}

impl Job for Housekeeping {
    const KIND: &'static str = "housekeeping";
    const QUEUE: Queue = Queue::Maintenance;
    const MAX_ATTEMPTS: i32 = 10; // safe to repeat, so a lost worker should not leave a dead job for an operator
    const DEADLINE: Duration = Duration::from_secs(20);
}
