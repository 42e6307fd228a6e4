//! Rolls up one learner's progress in one roadmap.

use std::time::Duration;

use cairn_core::learning::jobs::RollUpProgress;
use cairn_core::learning::rollup::Pair;

use crate::{Context, JobError};

/// How long a pair that was rolled up too often is postponed. Changes in the meantime are covered by one rollup.
const THROTTLE_DELAY: Duration = Duration::from_millis(100);

pub(super) async fn run(context: Context, job: RollUpProgress) -> Result<(), JobError> {
    let pair = Pair { user_id: job.user_id, roadmap_id: job.roadmap_id };
    // It waits outside the worker, so that learners who click incessantly do not occupy slots that others need.
    if context.rollups.run(pair).await? { Err(JobError::Snooze(THROTTLE_DELAY)) } else { Ok(()) }
}
