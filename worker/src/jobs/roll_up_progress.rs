//! Rolls one learner's progress in one roadmap up.

use std::time::Duration;

use cairn_core::learning::jobs::RollUpProgress;
use cairn_core::learning::rollup::Pair;

use crate::{Context, JobError};

/// How long a pair that was rolled up too often just now is left alone: what comes in meanwhile goes into one rollup.
const REST: Duration = Duration::from_millis(100);

pub(super) async fn run(context: Context, job: RollUpProgress) -> Result<(), JobError> {
    let pair = Pair { user_id: job.user_id, roadmap_id: job.roadmap_id };
    // It rests outside the worker: learners who click without end take no place from those who do not.
    if context.rollups.run(pair).await? { Err(JobError::Snooze(REST)) } else { Ok(()) }
}
