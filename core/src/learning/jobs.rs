//! The jobs of learning, and the reconciler that enqueues them again when one was lost.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Result;
use crate::db::Tx;
use crate::queue::{Job, Queue, stored};

/// Recomputes one learner's progress in one roadmap from the facts.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RollUpProgress {
    /// The learner.
    pub user_id: Uuid,
    /// The roadmap.
    pub roadmap_id: Uuid,
}

impl Job for RollUpProgress {
    const KIND: &'static str = "roll_up_progress";
    const QUEUE: Queue = Queue::Progress;
    const MAX_ATTEMPTS: i32 = 25;
    const DEADLINE: Duration = Duration::from_secs(10);
}

/// Recomputes everybody's progress in one roadmap after a content change: chunks of learners for about a second, and the
/// job that goes on is enqueued in the transaction of the last.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RecomputeRoadmap {
    /// The roadmap.
    pub roadmap_id: Uuid,
    /// The content version to reach; a newer one supersedes the job.
    pub content_version: i64,
    /// The last learner done; `None` = from the start.
    pub after_user: Option<Uuid>,
}

impl Job for RecomputeRoadmap {
    const KIND: &'static str = "recompute_roadmap";
    const QUEUE: Queue = Queue::ProgressBulk;
    const MAX_ATTEMPTS: i32 = 25;
    const DEADLINE: Duration = Duration::from_secs(20);
}

/// Markers of learners that have been stale for 10 s and have no job, or one that has not come for 30 s.
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

/// Roadmaps whose content changed and that nobody recomputes.
pub async fn stale_roadmaps(tx: &mut Tx) -> Result<()> {
    let under_way: Vec<Uuid> = stored::<RecomputeRoadmap>(tx).await?.live.iter().map(|job| job.roadmap_id).collect();
    let rows = sqlx::query!(
        "SELECT id, content_version FROM roadmaps
         WHERE recomputed_version < content_version AND id <> ALL ($1)
         ORDER BY id
         LIMIT 100",
        &under_way
    )
    .fetch_all(&mut **tx)
    .await?;
    for row in rows {
        tx.enqueue(&RecomputeRoadmap { roadmap_id: row.id, content_version: row.content_version, after_user: None })?;
    }
    Ok(())
}
