//! The jobs of this area, and the reconcilers that enqueue a job again if it was lost.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Result;
use crate::db::Tx;
use crate::queue::{Job, Queue, stored};

/// Recomputes one learner's progress in one roadmap from the facts.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RollUpProgress {
    /// Identifies the learner.
    pub user_id: Uuid,
    /// Identifies the roadmap.
    pub roadmap_id: Uuid,
}

impl Job for RollUpProgress {
    const KIND: &'static str = "roll_up_progress";
    const QUEUE: Queue = Queue::Progress;
    const MAX_ATTEMPTS: i32 = 25;
    const DEADLINE: Duration = Duration::from_secs(10);
}

/// Recomputes everyone's progress in one roadmap after a content change. A job works through chunks of learners for about a
/// second; the transaction of its last chunk enqueues the job that continues.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RecomputeRoadmap {
    /// Identifies the roadmap.
    pub roadmap_id: Uuid,
    /// The content version that the pass was started for. If the content has changed since, the pass starts again.
    pub content_version: i64,
    /// The last learner of the previous chunk; `None` for the start of the pass.
    pub after_user: Option<Uuid>,
}

impl Job for RecomputeRoadmap {
    const KIND: &'static str = "recompute_roadmap";
    const QUEUE: Queue = Queue::ProgressBulk;
    const MAX_ATTEMPTS: i32 = 25;
    const DEADLINE: Duration = Duration::from_secs(20);
}

/// Completes a lesson for learners who have nothing left to check after its tasks changed. Works through chunks as
/// [`RecomputeRoadmap`] does.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct CompleteLesson {
    /// Identifies the lesson.
    pub lesson_id: Uuid,
    /// The marker's number when the pass was started. If it has changed since, the pass starts again.
    pub seq: i64,
    /// The last learner of the previous chunk; `None` for the start of the pass.
    pub after_user: Option<Uuid>,
}

impl Job for CompleteLesson {
    const KIND: &'static str = "complete_lesson";
    const QUEUE: Queue = Queue::ProgressBulk;
    const MAX_ATTEMPTS: i32 = 25;
    const DEADLINE: Duration = Duration::from_secs(20);
}

/// Imports a course.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ImportCourse {
    /// Identifies the row that has the document.
    pub import_id: Uuid,
}

impl Job for ImportCourse {
    const KIND: &'static str = "import_course";
    const QUEUE: Queue = Queue::Maintenance;
    const MAX_ATTEMPTS: i32 = 5;
    const DEADLINE: Duration = Duration::from_secs(20);
}

/// Enqueues a rollup for each marker that has been stale for 10 s without a job, or whose job was enqueued 30 s ago and has
/// not run.
pub async fn stale_progress(tx: &mut Tx) -> Result<()> {
    let rows = sqlx::query!(
        "WITH stale AS MATERIALIZED (
             SELECT user_id, roadmap_id FROM progress_dirty
             WHERE done_seq < requested_seq AND requested_at < now() - interval '10 seconds'
               AND (queued_at IS NULL OR queued_at < now() - interval '30 seconds')
             ORDER BY requested_at
             LIMIT 2000
             FOR UPDATE SKIP LOCKED
         )
         UPDATE progress_dirty d SET queued_at = now()
         FROM stale s
         WHERE d.user_id = s.user_id AND d.roadmap_id = s.roadmap_id
         RETURNING d.user_id, d.roadmap_id"
    )
    .fetch_all(&mut **tx)
    .await?;
    for row in rows {
        tx.enqueue(&RollUpProgress { user_id: row.user_id, roadmap_id: row.roadmap_id })?;
    }
    Ok(())
}

/// Enqueues the recomputation of roadmaps whose content changed and for which no job is stored.
pub async fn stale_roadmaps(tx: &mut Tx) -> Result<()> {
    let in_progress: Vec<Uuid> = stored::<RecomputeRoadmap>(tx).await?.live.iter().map(|job| job.roadmap_id).collect();
    let rows = sqlx::query!(
        "SELECT id, content_version FROM roadmaps
         WHERE recomputed_version < content_version AND id <> ALL ($1)
         ORDER BY id
         LIMIT 100",
        &in_progress
    )
    .fetch_all(&mut **tx)
    .await?;
    for row in rows {
        tx.enqueue(&RecomputeRoadmap { roadmap_id: row.id, content_version: row.content_version, after_user: None })?;
    }
    Ok(())
}

/// Enqueues the completion of lessons whose tasks changed and for which no job is stored.
pub async fn stale_tasks(tx: &mut Tx) -> Result<()> {
    let in_progress: Vec<Uuid> = stored::<CompleteLesson>(tx).await?.live.iter().map(|job| job.lesson_id).collect();
    let rows = sqlx::query!(
        "UPDATE lesson_tasks_dirty SET queued_at = now() WHERE lesson_id = ANY (ARRAY(
             SELECT lesson_id FROM lesson_tasks_dirty WHERE lesson_id <> ALL ($1)
             ORDER BY lesson_id LIMIT 100 FOR UPDATE SKIP LOCKED))
         RETURNING lesson_id, seq",
        &in_progress
    )
    .fetch_all(&mut **tx)
    .await?;
    for row in rows {
        tx.enqueue(&CompleteLesson { lesson_id: row.lesson_id, seq: row.seq, after_user: None })?;
    }
    Ok(())
}
