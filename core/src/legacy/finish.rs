//! After the facts: what is computed from them is computed, so that nobody sees old numbers, whether or not a worker runs.

use uuid::Uuid;

use crate::Result;
use crate::community::likes;
use crate::db::Db;
use crate::learning::jobs::RecomputeRoadmap;
use crate::learning::{recompute, rollup};

/// How many learners or projects are brought up to date in one transaction.
const CHUNK: i64 = 200;

/// Completes the lessons whose tasks are all checked, and recomputes progress and likes. Safe to repeat.
pub(super) async fn finish(db: &Db) -> Result<()> {
    complete_stages(db).await?;
    recompute_roadmaps(db).await?;
    roll_up(db).await?;
    count_likes(db).await
}

/// The lessons that stages of the old dashboard have become: a learner who has checked a task has started one, and who has checked
/// all has completed it, when the last was checked. What a learner has done here since stays as it is.
async fn complete_stages(db: &Db) -> Result<()> {
    let lessons = sqlx::query_scalar!("SELECT id FROM legacy_ids WHERE kind = 'dashboard_stages' ORDER BY id");
    for lesson_id in lessons.fetch_all(db.pool()).await? {
        let mut tx = db.begin().await?;
        let completed = sqlx::query!(
            "WITH tasks AS (
                 SELECT t.id FROM lesson_tasks t JOIN legacy_ids i ON i.id = t.id AND i.kind = 'stage_tasks'
                 WHERE t.lesson_id = $1 AND t.deleted_at IS NULL AND t.is_required
             ), learners AS (
                 SELECT p.user_id, min(p.checked_at) AS first, max(p.checked_at) AS last,
                     count(*) = (SELECT count(*) FROM tasks) AS is_done
                 FROM user_lesson_task_progress p WHERE p.task_id IN (SELECT id FROM tasks) GROUP BY p.user_id
             )
             INSERT INTO user_lesson_progress (user_id, lesson_id, status, started_at, completed_at, created_at, updated_at)
             SELECT user_id, $1, CASE WHEN is_done THEN 'completed' ELSE 'in_progress' END::lesson_status, first,
                 CASE WHEN is_done THEN last END, first, last
             FROM learners ORDER BY user_id
             ON CONFLICT DO NOTHING",
            lesson_id
        )
        .execute(&mut *tx)
        .await?;
        if completed.rows_affected() > 0 {
            tx.commit().await?;
        } else {
            tx.rollback().await?;
        }
    }
    Ok(())
}

async fn recompute_roadmaps(db: &Db) -> Result<()> {
    let stale =
        sqlx::query!("SELECT id, content_version FROM roadmaps WHERE recomputed_version < content_version ORDER BY id");
    for roadmap in stale.fetch_all(db.pool()).await? {
        let mut next = Some(RecomputeRoadmap {
            roadmap_id: roadmap.id,
            content_version: roadmap.content_version,
            after_user: None,
        });
        while let Some(job) = next {
            let mut tx = db.begin().await?;
            let chunk = recompute::recompute_chunk(&mut tx, job).await?;
            tx.commit().await?;
            next = chunk.map(|chunk| chunk.job);
            if chunk.is_some_and(|chunk| chunk.job.after_user.is_none()) {
                // Somebody else holds what is left, and enqueues or does it.
                break;
            }
        }
    }
    Ok(())
}

/// Rolls up whoever is stale, a chunk after the other. Those whom another transaction has locked are left to the worker.
async fn roll_up(db: &Db) -> Result<()> {
    let mut after: Option<(Uuid, Uuid)> = None;
    loop {
        let (user_id, roadmap_id) = after.unwrap_or_default();
        let mut tx = db.begin().await?;
        let pairs = sqlx::query_as!(
            rollup::Pair,
            "SELECT user_id, roadmap_id FROM progress_dirty
             WHERE done_seq < requested_seq AND (user_id, roadmap_id) > ($1, $2) ORDER BY user_id, roadmap_id LIMIT $3",
            user_id,
            roadmap_id,
            CHUNK
        );
        let pairs = pairs.fetch_all(&mut *tx).await?;
        let Some(last) = pairs.last() else { return Ok(()) };
        after = Some((last.user_id, last.roadmap_id));
        rollup::roll_up(&mut tx, &pairs, rollup::Skip::Markers).await?;
        tx.commit().await?;
    }
}

async fn count_likes(db: &Db) -> Result<()> {
    let projects = sqlx::query_scalar!("SELECT project_id FROM likes_dirty ORDER BY project_id").fetch_all(db.pool());
    for project_id in projects.await? {
        let mut tx = db.begin().await?;
        likes::recount(&mut tx, project_id).await?;
        tx.commit().await?;
    }
    Ok(())
}
