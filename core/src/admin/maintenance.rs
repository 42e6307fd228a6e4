//! The scheduled jobs: the reconciler, and housekeeping.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::queue::{Job, Queue};

/// Picks up what a lost job left behind: stale markers, dead replies, roadmaps that wait to be recomputed.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Reconcile {}

impl Job for Reconcile {
    const KIND: &'static str = "reconcile";
    const QUEUE: Queue = Queue::Maintenance;
    const MAX_ATTEMPTS: i32 = 10; // safe to repeat: a worker that is lost amid it is no dead job for an operator to look at
    const DEADLINE: Duration = Duration::from_secs(20);
}

/// One round of housekeeping: partitions ahead, retention, expired sessions. Set-based and safe to repeat.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct KeepHouse {}

impl Job for KeepHouse {
    const KIND: &'static str = "keep_house";
    const QUEUE: Queue = Queue::Maintenance;
    const MAX_ATTEMPTS: i32 = 3;
    const DEADLINE: Duration = Duration::from_secs(20);
}
