//! The safety net under the jobs: finds work that waits and that no job will do, and enqueues it (again).
//!
//! Jobs are how work is done soon; these queries are why it is done at all: a job that an operator discarded, a fact
//! written by hand in SQL, a reply whose job died. Everything here may run twice; the jobs it makes find nothing to do.

use super::{Job, RecomputeRoadmap, RollUpProgress};
use crate::Result;
use crate::db::Tx;

/// Markers of learners that have been stale for 10 s and have no job, or one that has not come for 30 s.
pub async fn stale_progress(tx: &mut Tx) -> Result<()> {
    let rows = sqlx::query!(
        "UPDATE progress_dirty d SET queued_at = now()
         FROM (
             SELECT user_id, roadmap_id FROM progress_dirty
             WHERE done_seq < requested_seq AND requested_at < now() - interval '10 seconds'
               AND (queued_at IS NULL OR queued_at < now() - interval '30 seconds')
             ORDER BY requested_at
             LIMIT 2000
             FOR UPDATE SKIP LOCKED
         ) s
         WHERE d.user_id = s.user_id AND d.roadmap_id = s.roadmap_id
         RETURNING d.user_id, d.roadmap_id"
    )
    .fetch_all(&mut **tx)
    .await?;
    for row in rows {
        RollUpProgress { user_id: row.user_id, roadmap_id: row.roadmap_id }.enqueue(tx)?;
    }
    Ok(())
}

/// Roadmaps whose content changed and that nobody recomputes.
pub async fn stale_roadmaps(tx: &mut Tx) -> Result<()> {
    let rows = sqlx::query!(
        r#"SELECT r.id, r.content_version FROM roadmaps r
           WHERE r.recomputed_version < r.content_version
             AND NOT EXISTS (
                 SELECT FROM apalis.jobs j
                 WHERE j.job_type = 'progress-bulk'
                   AND (j.status IN ('Pending', 'Queued', 'Running') OR (j.status = 'Failed' AND j.attempts < j.max_attempts))
                   AND convert_from(j.job, 'UTF8')::jsonb -> 'data' ->> 'roadmap_id' = r.id::text)
           ORDER BY r.id
           LIMIT 100"#
    )
    .fetch_all(&mut **tx)
    .await?;
    for row in rows {
        RecomputeRoadmap { roadmap_id: row.id, content_version: row.content_version, after_user: None }.enqueue(tx)?;
    }
    Ok(())
}

/// Open replies whose job is dead: nobody would ever finish them, so they fail and the chat is free again.
pub async fn dead_replies(tx: &mut Tx) -> Result<()> {
    sqlx::query!(
        r#"UPDATE ai_replies r SET state = 'failed', reason = 'attempts_exhausted', finished_at = now()
           FROM apalis.jobs j
           WHERE j.job_type = 'replies' AND j.status = 'Killed' AND j.done_at > now() - interval '1 day'
             AND r.id::text = convert_from(j.job, 'UTF8')::jsonb -> 'data' ->> 'reply_id'
             AND r.state IN ('queued', 'streaming')"#
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
}
