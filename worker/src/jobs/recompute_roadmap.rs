//! Recomputes a roadmap's learners after a content change, a chunk at a time, and hands over to the next job after a while.

use std::time::{Duration, Instant};

use cairn_core::learning::jobs::RecomputeRoadmap;
use cairn_core::learning::recompute::{self, NextChunk};
use tokio::time::sleep;

use crate::{Context, JobError};

/// How long one job goes on: far longer than a chunk, so that most of them do not pay for a job; not so long that who pauses
/// the queue or stops the worker has to wait.
const TURN: Duration = Duration::from_secs(1);

pub(super) async fn run(context: Context, mut job: RecomputeRoadmap) -> Result<(), JobError> {
    let begun = Instant::now();
    loop {
        let mut tx = context.db.begin().await?;
        let next = recompute::recompute_chunk(&mut tx, job).await?;
        let Some(NextChunk { job: next, pause }) = next else { return Ok(tx.commit().await?) };
        if begun.elapsed() + pause >= TURN || context.shutdown.is_cancelled() {
            tx.enqueue_in(&next, pause)?;
            return Ok(tx.commit().await?);
        }
        tx.commit().await?;
        job = next;
        sleep(pause).await;
    }
}
