//! Facts: what a learner did with a lesson. Each function writes the fact, records the activity and enqueues the rollup
//! on the caller's transaction.
//!
//! No function reads a state and then writes: statements that change nothing when there is nothing to change decide,
//! so any number of repeats and parallel calls leave one fact and exactly one activity per change. Where the ticks of
//! tasks decide, the row lock of the fact is taken before they are read or written.

use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::course::CompletionRule;
use super::lessons::{Fact, OpenLesson, OpenTask};
use super::rules::LessonStatus;
use crate::activity::{Action, Noun, Verb};
use crate::db::Tx;
use crate::learning::jobs::RollUpProgress;
use crate::refusal::Rejected;
use crate::{Error, Result};

/// What a call left behind.
#[derive(Clone, Debug)]
pub struct Written {
    /// Whether the call changed anything.
    pub changed: bool,
    /// The fact now; none = never touched.
    pub fact: Option<Fact>,
    /// The markers of the visible roadmaps that the lesson stands in and the learner has ever changed.
    pub marks: Vec<Mark>,
}

/// How far a learner's facts in a roadmap are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The roadmap.
    pub roadmap_id: Uuid,
    /// A rollup that has seen this sequence number has seen the change.
    pub seq: i64,
}

/// Why a lesson cannot be completed: its required tasks that are not checked, by title, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TasksIncomplete(pub Vec<String>);

/// Starts a lesson. The first `started_at` stays.
pub async fn start(tx: &mut Tx, lesson: &OpenLesson) -> Result<Written> {
    let fact = insert_started(tx, lesson).await?;
    if fact.is_some() {
        record(tx, Verb::Started, lesson)?;
    }
    written(tx, lesson, fact).await
}

/// Completes a lesson. The first `completed_at` stays. A lesson whose rule is `tasks` needs its required tasks ticked.
pub async fn complete(tx: &mut Tx, lesson: &OpenLesson) -> Result<Written, Rejected<TasksIncomplete>> {
    if lesson.completion == CompletionRule::Tasks {
        let (fact, _) = lock_or_start(tx, lesson).await?;
        if fact.status != LessonStatus::Completed {
            let open = open_tasks(tx, lesson).await?;
            if !open.is_empty() {
                return Err(Rejected::Refused(TasksIncomplete(open)));
            }
        }
    }
    let fact = set_completed(tx, lesson).await?;
    Ok(written(tx, lesson, fact).await?)
}

/// Takes a completion back. `started_at` and the ticks stay.
pub async fn uncomplete(tx: &mut Tx, lesson: &OpenLesson) -> Result<Written> {
    let fact = set_reopened(tx, lesson).await?;
    written(tx, lesson, fact).await
}

/// Ticks a task, which starts the lesson. The last required task completes a lesson whose rule is `tasks`.
pub async fn check(tx: &mut Tx, lesson: &OpenLesson, task: &OpenTask) -> Result<Written> {
    let (fact, started) = lock_or_start(tx, lesson).await?;
    let ticked = sqlx::query!(
        "INSERT INTO user_lesson_task_progress (user_id, task_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        lesson.caller.user_id,
        task.id
    )
    .execute(&mut **tx)
    .await?
    .rows_affected()
        > 0;
    if ticked {
        record_task(tx, Verb::Checked, lesson, task)?;
    }
    let mut completed = None;
    if ticked
        && task.is_required
        && lesson.completion == CompletionRule::Tasks
        && open_tasks(tx, lesson).await?.is_empty()
    {
        completed = set_completed(tx, lesson).await?;
    }
    let marks = marks(tx, lesson, started || completed.is_some()).await?;
    Ok(Written { changed: ticked, fact: completed.or(Some(fact)), marks })
}

/// Unticks a task. A required one reopens a completed lesson whose rule is `tasks`.
pub async fn uncheck(tx: &mut Tx, lesson: &OpenLesson, task: &OpenTask) -> Result<Written> {
    // A tick is never without a fact.
    let Some(fact) = lock(tx, lesson).await? else {
        return written(tx, lesson, None).await;
    };
    let unticked = sqlx::query!(
        "DELETE FROM user_lesson_task_progress WHERE user_id = $1 AND task_id = $2",
        lesson.caller.user_id,
        task.id
    )
    .execute(&mut **tx)
    .await?
    .rows_affected()
        > 0;
    let mut reopened = None;
    if unticked {
        record_task(tx, Verb::Unchecked, lesson, task)?;
        if task.is_required && lesson.completion == CompletionRule::Tasks {
            reopened = set_reopened(tx, lesson).await?;
        }
    }
    let marks = marks(tx, lesson, reopened.is_some()).await?;
    Ok(Written { changed: unticked, fact: reopened.or(Some(fact)), marks })
}

/// Inserts the fact; none if there is one already.
async fn insert_started(connection: &mut PgConnection, lesson: &OpenLesson) -> Result<Option<Fact>> {
    let fact = sqlx::query_as!(
        Fact,
        r#"INSERT INTO user_lesson_progress (user_id, lesson_id) VALUES ($1, $2)
           ON CONFLICT (user_id, lesson_id) DO NOTHING
           RETURNING status AS "status: LessonStatus", started_at, completed_at"#,
        lesson.caller.user_id,
        lesson.id
    );
    Ok(fact.fetch_optional(connection).await?)
}

/// Makes the fact a completion; none if it is one already.
async fn set_completed(tx: &mut Tx, lesson: &OpenLesson) -> Result<Option<Fact>> {
    // A start that committed while this transaction waited may be later than its now().
    let fact = sqlx::query_as!(
        Fact,
        r#"INSERT INTO user_lesson_progress AS p (user_id, lesson_id, status, completed_at)
           VALUES ($1, $2, 'completed', now())
           ON CONFLICT (user_id, lesson_id) DO UPDATE
               SET status = 'completed', completed_at = greatest(now(), p.started_at)
               WHERE p.status <> 'completed'
           RETURNING p.status AS "status: LessonStatus", p.started_at, p.completed_at"#,
        lesson.caller.user_id,
        lesson.id
    );
    let fact = fact.fetch_optional(&mut **tx).await?;
    if fact.is_some() {
        record(tx, Verb::Completed, lesson)?;
    }
    Ok(fact)
}

/// Takes the completion off the fact; none if there is none.
async fn set_reopened(tx: &mut Tx, lesson: &OpenLesson) -> Result<Option<Fact>> {
    let fact = sqlx::query_as!(
        Fact,
        r#"UPDATE user_lesson_progress SET status = 'in_progress', completed_at = NULL
           WHERE user_id = $1 AND lesson_id = $2 AND status = 'completed'
           RETURNING status AS "status: LessonStatus", started_at, completed_at"#,
        lesson.caller.user_id,
        lesson.id
    );
    let fact = fact.fetch_optional(&mut **tx).await?;
    if fact.is_some() {
        record(tx, Verb::Reopened, lesson)?;
    }
    Ok(fact)
}

/// Locks the fact until the transaction ends: nobody else ticks, unticks or completes meanwhile.
async fn lock(connection: &mut PgConnection, lesson: &OpenLesson) -> Result<Option<Fact>> {
    let fact = sqlx::query_as!(
        Fact,
        r#"SELECT status AS "status: LessonStatus", started_at, completed_at
           FROM user_lesson_progress WHERE user_id = $1 AND lesson_id = $2
           FOR NO KEY UPDATE"#,
        lesson.caller.user_id,
        lesson.id
    );
    Ok(fact.fetch_optional(connection).await?)
}

/// Like [`lock`], and starts the lesson if it is not: then the second value is true.
async fn lock_or_start(connection: &mut PgConnection, lesson: &OpenLesson) -> Result<(Fact, bool)> {
    if let Some(fact) = insert_started(connection, lesson).await? {
        return Ok((fact, true));
    }
    let fact = lock(connection, lesson).await?;
    Ok((fact.ok_or_else(|| Error::message("a fact vanished while it was being written"))?, false))
}

/// Titles of the required tasks that are not ticked, in order.
async fn open_tasks(connection: &mut PgConnection, lesson: &OpenLesson) -> Result<Vec<String>> {
    let titles = sqlx::query_scalar!(
        "SELECT t.title FROM lesson_tasks t
         WHERE t.lesson_id = $2 AND t.is_required AND t.deleted_at IS NULL
           AND NOT EXISTS (SELECT FROM user_lesson_task_progress p WHERE p.user_id = $1 AND p.task_id = t.id)
         ORDER BY t.position, t.id",
        lesson.caller.user_id,
        lesson.id
    );
    Ok(titles.fetch_all(connection).await?)
}

/// The outcome of a statement that returned the changed fact, if it changed one.
async fn written(tx: &mut Tx, lesson: &OpenLesson, changed: Option<Fact>) -> Result<Written> {
    let marks = marks(tx, lesson, changed.is_some()).await?;
    let fact = match changed {
        Some(fact) => Some(fact),
        None => {
            sqlx::query_as!(
                Fact,
                r#"SELECT status AS "status: LessonStatus", started_at, completed_at
                   FROM user_lesson_progress WHERE user_id = $1 AND lesson_id = $2"#,
                lesson.caller.user_id,
                lesson.id
            )
            .fetch_optional(&mut **tx)
            .await?
        }
    };
    Ok(Written { changed: changed.is_some(), fact, marks })
}

/// Reads the lesson's markers. After a change (whose trigger has moved and locked them) it also enqueues a rollup for
/// those that no job waits for yet.
async fn marks(tx: &mut Tx, lesson: &OpenLesson, fact_changed: bool) -> Result<Vec<Mark>> {
    let rows = sqlx::query!(
        r#"WITH mark AS (
               SELECT d.roadmap_id, d.requested_seq,
                      $3 AND d.queued_at IS NULL AND d.done_seq < d.requested_seq AS needs_job
               FROM progress_dirty d
               WHERE d.user_id = $1 AND d.roadmap_id IN (
                   SELECT s.roadmap_id FROM stage_lessons sl JOIN stages s ON s.id = sl.stage_id
                   WHERE sl.lesson_id = $2)
           ), queued AS (
               UPDATE progress_dirty d SET queued_at = now()
               FROM mark m WHERE m.needs_job AND d.user_id = $1 AND d.roadmap_id = m.roadmap_id
           )
           SELECT m.roadmap_id, m.requested_seq AS seq, m.needs_job AS "needs_job!",
                  EXISTS (SELECT FROM visible_roadmaps r WHERE r.id = m.roadmap_id) AS "is_visible!"
           FROM mark m ORDER BY m.roadmap_id"#,
        lesson.caller.user_id,
        lesson.id,
        fact_changed
    )
    .fetch_all(&mut **tx)
    .await?;
    for row in rows.iter().filter(|row| row.needs_job) {
        tx.enqueue(&RollUpProgress { user_id: lesson.caller.user_id, roadmap_id: row.roadmap_id })?;
    }
    let visible = rows.into_iter().filter(|row| row.is_visible);
    Ok(visible.map(|row| Mark { roadmap_id: row.roadmap_id, seq: row.seq }).collect())
}

fn record(tx: &mut Tx, verb: Verb, lesson: &OpenLesson) -> Result<()> {
    tx.record(Action::new(Noun::Lesson, verb).on(lesson.id, &lesson.title))
}

fn record_task(tx: &mut Tx, verb: Verb, lesson: &OpenLesson, task: &OpenTask) -> Result<()> {
    let details = json!({ "lesson_id": lesson.id, "lesson_title": lesson.title });
    tx.record(Action::new(Noun::Task, verb).on(task.id, &task.title).with(details))
}
