//! Rolls one learner's progress in one roadmap up.

use cairn_core::jobs::RollUpProgress;
use cairn_core::learning::rollup::{Pair, REST};

use crate::{Context, JobError};

pub(super) async fn run(context: Context, job: RollUpProgress) -> Result<(), JobError> {
    let pair = Pair { user_id: job.user_id, roadmap_id: job.roadmap_id };
    // Rolled up a moment ago and stale again: what comes in until it has rested goes into one rollup.
    while context.rollups.write(pair).await? {
        tokio::time::sleep(REST).await;
    }
    Ok(())
}
