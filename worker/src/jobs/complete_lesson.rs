//! Completes a lesson for learners who have nothing left to check, in chunks. A job that has run for a while enqueues the next
//! one to continue.

use std::time::{Duration, Instant};

use cairn_core::learning::jobs::CompleteLesson;
use cairn_core::learning::task_changes::{self, NextChunk};
use tokio::time::sleep;

use crate::Context;
use crate::run::JobError;

/// How long one job runs, as for the recomputation of a roadmap.
const TIME_SLICE: Duration = Duration::from_secs(1);

pub(super) async fn run(context: Context, mut job: CompleteLesson) -> Result<(), JobError> {
    let started = Instant::now();
    loop {
        let mut tx = context.db.begin().await?;
        let next = task_changes::complete_chunk(&mut tx, job).await?;
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
