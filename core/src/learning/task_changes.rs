//! After an edit that leaves a lesson with fewer required tasks, or makes tasks its rule, the lesson is completed for learners
//! who have nothing left to check.
//!
//! ```text
//! tasks changed ──▶ marker (lesson) seq + 1 ──▶ CompleteLesson ──▶ chunk ─ pause ─▶ chunk … nobody left ──▶ marker removed
//! ```
//!
//! Who checks a task holds the lesson's lock, in shared mode, until they commit, and the edit takes it exclusively. So every
//! learner either sees the new tasks when they check the last of them, or has committed before the pass begins. A pass goes
//! through the learners who have started the lesson, and finds those who have checked everything. It locks their facts, looks
//! again, completes the lesson and rolls their progress up in one transaction. A pass that is repeated finds nobody to
//! complete. What was completed before is never reopened, whatever happens to the tasks.

use std::time::{Duration, Instant};

use serde_json::json;
use uuid::Uuid;

use super::recompute::CHUNK;
use super::rollup::{Pair, compute, use_indexes};
use crate::Result;
use crate::activity::{Action, Verb};
use crate::db::Tx;
use crate::learning::jobs::CompleteLesson;
use crate::noun::Noun;

/// How many learners of a lesson one chunk looks at. Few of them have anything to be completed.
const WINDOW: i64 = 2000;

/// Enqueues a job for each lesson that is marked and has none.
pub async fn enqueue_marked(tx: &mut Tx) -> Result<()> {
    let marked = sqlx::query!(
        "UPDATE lesson_tasks_dirty SET queued_at = now() WHERE queued_at IS NULL RETURNING lesson_id, seq"
    );
    for marker in marked.fetch_all(&mut **tx).await? {
        tx.enqueue(&CompleteLesson { lesson_id: marker.lesson_id, seq: marker.seq, after_user: None })?;
    }
    Ok(())
}

/// The next chunk of a pass.
#[derive(Clone, Copy, Debug)]
pub struct NextChunk {
    /// The job that does the chunk.
    pub job: CompleteLesson,
    /// How long to wait before running it.
    pub pause: Duration,
}

/// Completes the lesson for one chunk of learners. Returns the next chunk, which the caller has to run or enqueue; `None` if
/// nobody is left.
pub async fn complete_chunk(tx: &mut Tx, job: CompleteLesson) -> Result<Option<NextChunk>> {
    let CompleteLesson { lesson_id, .. } = job;
    let seq = sqlx::query_scalar!("SELECT seq FROM lesson_tasks_dirty WHERE lesson_id = $1", lesson_id);
    let Some(seq) = seq.fetch_optional(&mut **tx).await? else { return Ok(None) };
    // The tasks have changed again, so the pass starts from the beginning.
    let after_user = job.after_user.filter(|_| job.seq == seq);
    let started = Instant::now();
    use_indexes(tx).await?;
    let last = last_of_window(tx, lesson_id, after_user).await?;
    let learners = lock_finished(tx, lesson_id, after_user, last).await?;
    complete(tx, lesson_id, &learners).await?;
    let after_user = if learners.len() == CHUNK { learners.last().copied() } else { last };
    if after_user.is_none() && learners.is_empty() && remove_marker(tx, lesson_id, seq).await? {
        return Ok(None);
    }
    // After the last learner comes one more pass, which finds nobody and removes the marker.
    let job = CompleteLesson { lesson_id, seq, after_user };
    Ok(Some(NextChunk { job, pause: started.elapsed() }))
}

/// The last learner that the chunk looks at; `None` if it looks at all that are left.
async fn last_of_window(tx: &mut Tx, lesson_id: Uuid, after_user: Option<Uuid>) -> Result<Option<Uuid>> {
    let last = sqlx::query_scalar!(
        "SELECT user_id FROM user_lesson_progress
         WHERE lesson_id = $1 AND user_id > coalesce($2, '00000000-0000-0000-0000-000000000000'::uuid)
         ORDER BY user_id OFFSET $3 LIMIT 1",
        lesson_id,
        after_user,
        WINDOW
    );
    Ok(last.fetch_optional(&mut **tx).await?)
}

/// Locks the facts of learners in the window who have checked all required tasks of the lesson but have not completed it.
async fn lock_finished(
    tx: &mut Tx,
    lesson_id: Uuid,
    after_user: Option<Uuid>,
    last: Option<Uuid>,
) -> Result<Vec<Uuid>> {
    let learners = sqlx::query_scalar!(
        "SELECT f.user_id FROM user_lesson_progress f
         WHERE f.lesson_id = $1 AND f.status = 'in_progress'
           AND f.user_id > coalesce($2, '00000000-0000-0000-0000-000000000000'::uuid)
           AND f.user_id <= coalesce($3, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
           AND EXISTS (SELECT FROM lessons l WHERE l.id = $1 AND l.completion = 'tasks')
           AND EXISTS (SELECT FROM lesson_tasks t WHERE t.lesson_id = $1 AND t.is_required AND t.deleted_at IS NULL)
           AND NOT EXISTS (
               SELECT FROM lesson_tasks t WHERE t.lesson_id = $1 AND t.is_required AND t.deleted_at IS NULL
                 AND NOT EXISTS (SELECT FROM user_lesson_task_progress p WHERE p.user_id = f.user_id AND p.task_id = t.id))
         ORDER BY f.user_id LIMIT $4
         FOR NO KEY UPDATE OF f",
        lesson_id,
        after_user,
        last,
        i64::try_from(CHUNK).unwrap_or(i64::MAX)
    );
    Ok(learners.fetch_all(&mut **tx).await?)
}

/// Completes the lesson for those of the learners who still have checked everything, now that no other transaction can change
/// what they have checked, and rolls up the roadmaps that contain it.
async fn complete(tx: &mut Tx, lesson_id: Uuid, learners: &[Uuid]) -> Result<()> {
    if learners.is_empty() {
        return Ok(());
    }
    let completed = sqlx::query!(
        "UPDATE user_lesson_progress f SET status = 'completed', completed_at = greatest(now(), f.started_at)
         FROM lessons l
         WHERE l.id = $1 AND l.completion = 'tasks' AND f.lesson_id = $1 AND f.user_id = ANY ($2)
           AND f.status = 'in_progress'
           AND EXISTS (SELECT FROM lesson_tasks t WHERE t.lesson_id = $1 AND t.is_required AND t.deleted_at IS NULL)
           AND NOT EXISTS (
               SELECT FROM lesson_tasks t WHERE t.lesson_id = $1 AND t.is_required AND t.deleted_at IS NULL
                 AND NOT EXISTS (SELECT FROM user_lesson_task_progress p WHERE p.user_id = f.user_id AND p.task_id = t.id))
         RETURNING f.user_id, l.title",
        lesson_id,
        learners
    );
    let completed = completed.fetch_all(&mut **tx).await?;
    let users: Vec<Uuid> = completed.iter().map(|row| row.user_id).collect();
    for row in completed {
        let reason = json!({ "reason": "tasks_changed" });
        tx.record(Action::new(Noun::Lesson, Verb::Completed).on(lesson_id, &row.title).by(row.user_id).with(reason))?;
    }
    // The trigger of the facts has marked and locked these.
    let pairs = sqlx::query_as!(
        Pair,
        "SELECT user_id, roadmap_id FROM progress_dirty
         WHERE user_id = ANY ($1) AND roadmap_id IN (
             SELECT s.roadmap_id FROM stage_lessons sl JOIN stages s ON s.id = sl.stage_id WHERE sl.lesson_id = $2)",
        &users,
        lesson_id
    );
    let pairs = pairs.fetch_all(&mut **tx).await?;
    compute(tx, &pairs, Duration::ZERO).await
}

/// Removes the marker, unless the tasks have changed since this pass began.
async fn remove_marker(tx: &mut Tx, lesson_id: Uuid, seq: i64) -> Result<bool> {
    let removed = sqlx::query!("DELETE FROM lesson_tasks_dirty WHERE lesson_id = $1 AND seq = $2", lesson_id, seq);
    Ok(removed.execute(&mut **tx).await?.rows_affected() > 0)
}
