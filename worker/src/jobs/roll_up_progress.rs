//! Rolls one learner's progress in one roadmap up.

use std::time::Duration;

use cairn_core::jobs::RollUpProgress;
use cairn_core::learning::rollup::Pair;

use crate::{Context, JobError};

/// How often a resting pair is tried.
const TRY: Duration = Duration::from_millis(50);

pub(super) async fn run(context: Context, job: RollUpProgress) -> Result<(), JobError> {
    let pair = Pair { user_id: job.user_id, roadmap_id: job.roadmap_id };
    // Rolled up too often just now: what comes in until it has rested goes into one rollup.
    while context.rollups.write(pair).await? {
        tokio::time::sleep(TRY).await;
    }
    Ok(())
}
