//! The jobs of this area.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::queue::{Job, Queue};

/// Recomputes the statistics that have changed. Scheduled, because what happens now leaves no mark.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RefreshStats {}

impl Job for RefreshStats {
    const KIND: &'static str = "refresh_stats";
    const QUEUE: Queue = Queue::Maintenance;
    const MAX_ATTEMPTS: i32 = 10; // safe to repeat, so a lost worker should not leave a dead job for an operator
    const DEADLINE: Duration = Duration::from_secs(20);
}
