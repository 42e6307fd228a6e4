//! Recomputes one chunk of a roadmap's learners after a content change, and enqueues the next.

use cairn_core::jobs::RecomputeRoadmap;
use cairn_core::learning::recompute;

use crate::{Context, JobError};

pub(super) async fn run(context: Context, job: RecomputeRoadmap) -> Result<(), JobError> {
    let mut tx = context.db.begin().await?;
    recompute::recompute_chunk(&mut tx, &context.clock, job).await?;
    Ok(tx.commit().await?)
}
