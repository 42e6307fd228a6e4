//! Recomputes the statistics that have changed.

use std::time::{Duration, Instant};

use cairn_core::stats::jobs::RefreshStats;
use cairn_core::stats::refresh;

use crate::Context;
use crate::run::JobError;

/// How long one job recomputes marked quarters. The next one goes on.
const TIME_SLICE: Duration = Duration::from_secs(3);

/// How long it recomputes lessons: with a job every five seconds, a twentieth of the time.
const LESSONS_SLICE: Duration = Duration::from_millis(250);

pub(super) async fn run(context: Context, job: RefreshStats) -> Result<(), JobError> {
    let started = Instant::now();
    loop {
        let mut tx = context.db.begin().await?;
        let has_more = refresh::quarters(&mut tx).await?;
        let is_out_of_time = started.elapsed() >= TIME_SLICE || context.shutdown.is_cancelled();
        if has_more && is_out_of_time {
            tx.enqueue(&job)?;
        }
        tx.commit().await?;
        if !has_more || is_out_of_time {
            break;
        }
    }
    let started = Instant::now();
    while started.elapsed() < LESSONS_SLICE && !context.shutdown.is_cancelled() {
        let mut tx = context.db.begin().await?;
        let lesson = refresh::next_lesson(&mut tx).await?;
        tx.commit().await?;
        if lesson.is_none() {
            break;
        }
    }
    Ok(())
}
