//! Recomputes the progress of a roadmap's learners after a content change, in chunks. A job that has run for a while
//! enqueues the next one to continue.

use std::time::{Duration, Instant};

use cairn_core::learning::jobs::RecomputeRoadmap;
use cairn_core::learning::recompute::{self, NextChunk};
use tokio::time::sleep;

use crate::{Context, JobError};

/// How long one job runs: far longer than a chunk, so that most chunks do not cost a job, but not so long that pausing the
/// queue or stopping the worker takes a noticeable time.
const TIME_SLICE: Duration = Duration::from_secs(1);

pub(super) async fn run(context: Context, mut job: RecomputeRoadmap) -> Result<(), JobError> {
    let started = Instant::now();
    loop {
        let mut tx = context.db.begin().await?;
        let next = recompute::recompute_chunk(&mut tx, job).await?;
        let Some(NextChunk { job: next, pause }) = next else { return Ok(tx.commit().await?) };
        if started.elapsed() + pause >= TIME_SLICE || context.shutdown.is_cancelled() {
            tx.enqueue_in(&next, pause)?;
            return Ok(tx.commit().await?);
        }
        tx.commit().await?;
        job = next;
        sleep(pause).await;
    }
}
