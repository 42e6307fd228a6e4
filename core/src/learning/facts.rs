//! Facts: what a learner did with a lesson. Each function writes the fact, records the activity and enqueues the rollup
//! in the caller's transaction.
//!
//! No function reads a state first and writes afterwards. Each writing statement decides by itself whether there is
//! anything to change, so any number of repeated or parallel calls leaves one fact and exactly one activity per change.
//! Where the outcome depends on which tasks are checked, the row of the fact is locked before they are read or written.

use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::course::CompletionRule;
use super::lessons::{Fact, OpenLesson, OpenTask};
use super::rules::LessonStatus;
use crate::activity::{Action, Verb};
use crate::db::Tx;
use crate::learning::jobs::RollUpProgress;
use crate::noun::Noun;
use crate::refusal::Rejected;
use crate::{Error, Result};

/// The outcome of a call: the fact afterwards, and whether the call changed it.
#[derive(Clone, Debug)]
pub struct FactChange {
    /// Whether the call changed anything; false when everything was already as requested.
    pub is_changed: bool,
    /// The fact after the call; `None` when the learner has never started the lesson.
    pub fact: Option<Fact>,
    /// One entry for each visible roadmap that contains the lesson and in which the learner has ever changed a fact.
    pub marks: Vec<Mark>,
}

/// Tells which rollup of a roadmap includes the learner's latest change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Identifies the roadmap.
    pub roadmap_id: Uuid,
    /// Grows with every change. A rollup that has reached this number includes the change.
    pub seq: i64,
}

/// Why a lesson cannot be completed: its unchecked required tasks, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TasksIncomplete(pub Vec<MissingTask>);

/// A required task that is not checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingTask {
    /// Identifies the task.
    pub task_id: Uuid,
    /// Shown to learners.
    pub title: String,
}

/// Starts a lesson. Starting it again keeps the first `started_at`.
pub async fn start(tx: &mut Tx, lesson: &OpenLesson) -> Result<FactChange> {
    let fact = insert_started(tx, lesson).await?;
    if fact.is_some() {
        record(tx, Verb::Started, lesson)?;
    }
    fact_change(tx, lesson, fact).await
}

/// Completes a lesson. Completing it again keeps the first `completed_at`. If the lesson's rule is `tasks`, all its
/// required tasks must be checked.
pub async fn complete(tx: &mut Tx, lesson: &OpenLesson) -> Result<FactChange, Rejected<TasksIncomplete>> {
    if lesson.completion == CompletionRule::Tasks {
        let (fact, _) = lock_or_start(tx, lesson).await?;
        if fact.status != LessonStatus::Completed {
            let unchecked = unchecked_tasks(tx, lesson).await?;
            if !unchecked.is_empty() {
                return Err(Rejected::Refused(TasksIncomplete(unchecked)));
            }
        }
    }
    let fact = set_completed(tx, lesson).await?;
    Ok(fact_change(tx, lesson, fact).await?)
}

/// Reopens a completed lesson. Keeps `started_at` and the checked tasks.
pub async fn uncomplete(tx: &mut Tx, lesson: &OpenLesson) -> Result<FactChange> {
    let fact = set_reopened(tx, lesson).await?;
    fact_change(tx, lesson, fact).await
}

/// Checks a task, which also starts the lesson. Checking the last required task completes a lesson whose rule is
/// `tasks`.
pub async fn check(tx: &mut Tx, lesson: &OpenLesson, task: &OpenTask) -> Result<FactChange> {
    let (fact, is_started) = lock_or_start(tx, lesson).await?;
    let is_checked = sqlx::query!(
        "INSERT INTO user_lesson_task_progress (user_id, task_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        lesson.caller.user_id,
        task.id
    )
    .execute(&mut **tx)
    .await?
    .rows_affected()
        > 0;
    if is_checked {
        record_task(tx, Verb::Checked, lesson, task)?;
    }
    let mut completed = None;
    if is_checked && decides_completion(tx, task).await? && unchecked_tasks(tx, lesson).await?.is_empty() {
        completed = set_completed(tx, lesson).await?;
    }
    let marks = marks_after(tx, lesson, is_started || completed.is_some()).await?;
    Ok(FactChange { is_changed: is_checked, fact: completed.or(Some(fact)), marks })
}

/// Unchecks a task. Unchecking a required task reopens a completed lesson whose rule is `tasks`.
pub async fn uncheck(tx: &mut Tx, lesson: &OpenLesson, task: &OpenTask) -> Result<FactChange> {
    // Checking a task starts the lesson, so without a fact no task can be checked.
    let Some(fact) = lock(tx, lesson).await? else {
        return fact_change(tx, lesson, None).await;
    };
    let is_unchecked = sqlx::query!(
        "DELETE FROM user_lesson_task_progress WHERE user_id = $1 AND task_id = $2",
        lesson.caller.user_id,
        task.id
    )
    .execute(&mut **tx)
    .await?
    .rows_affected()
        > 0;
    let mut reopened = None;
    if is_unchecked {
        record_task(tx, Verb::Unchecked, lesson, task)?;
        if decides_completion(tx, task).await? {
            reopened = set_reopened(tx, lesson).await?;
        }
    }
    let marks = marks_after(tx, lesson, reopened.is_some()).await?;
    Ok(FactChange { is_changed: is_unchecked, fact: reopened.or(Some(fact)), marks })
}

/// Inserts the fact. Returns `None` if it existed already.
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

/// Marks the lesson as completed. Returns `None` if it already was.
async fn set_completed(tx: &mut Tx, lesson: &OpenLesson) -> Result<Option<Fact>> {
    // Another transaction may have started the lesson after this one began, so `started_at` can be later than now().
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

/// Puts a completed lesson back in progress. Returns `None` if it was not completed.
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

/// Locks the fact until the end of the transaction, so that no other transaction checks or unchecks a task or completes
/// the lesson in the meantime.
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

/// Like [`lock`], but starts the lesson if necessary. The second value is true if this call started it.
async fn lock_or_start(connection: &mut PgConnection, lesson: &OpenLesson) -> Result<(Fact, bool)> {
    if let Some(fact) = insert_started(connection, lesson).await? {
        return Ok((fact, true));
    }
    let fact = lock(connection, lesson).await?;
    Ok((
        fact.ok_or_else(|| {
            Error::message("the progress row of a lesson disappeared between two statements of one transaction")
        })?,
        false,
    ))
}

/// Whether the lesson is completed by its tasks and this is a required one of them. Read after the task was checked or
/// unchecked, because an editor may have changed it since it was found; from then on until the commit editors wait for this
/// transaction (the trigger `lock_checked_lessons`).
async fn decides_completion(connection: &mut PgConnection, task: &OpenTask) -> Result<bool> {
    let decides = sqlx::query_scalar!(
        r#"SELECT l.completion = 'tasks' AND t.is_required AND t.deleted_at IS NULL AS "decides!"
           FROM lesson_tasks t JOIN lessons l ON l.id = t.lesson_id WHERE t.id = $1"#,
        task.id
    );
    Ok(decides.fetch_optional(connection).await?.unwrap_or(false))
}

/// The titles of the required tasks that are not checked yet, in order.
async fn unchecked_tasks(connection: &mut PgConnection, lesson: &OpenLesson) -> Result<Vec<MissingTask>> {
    let tasks = sqlx::query_as!(
        MissingTask,
        "SELECT t.id AS task_id, t.title FROM lesson_tasks t
         WHERE t.lesson_id = $2 AND t.is_required AND t.deleted_at IS NULL
           AND NOT EXISTS (SELECT FROM user_lesson_task_progress p WHERE p.user_id = $1 AND p.task_id = t.id)
         ORDER BY t.position, t.id",
        lesson.caller.user_id,
        lesson.id
    );
    Ok(tasks.fetch_all(connection).await?)
}

/// Builds the outcome of a call from what its statement returned: the changed fact, or `None` if nothing changed.
async fn fact_change(tx: &mut Tx, lesson: &OpenLesson, changed: Option<Fact>) -> Result<FactChange> {
    let marks = marks_after(tx, lesson, changed.is_some()).await?;
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
    Ok(FactChange { is_changed: changed.is_some(), fact, marks })
}

/// The lesson's marks. If this call changed the fact, the same statement enqueues the rollups.
async fn marks_after(tx: &mut Tx, lesson: &OpenLesson, is_changed: bool) -> Result<Vec<Mark>> {
    if is_changed { enqueue_rollups(tx, lesson).await } else { read_marks(tx, lesson).await }
}

/// Reads the lesson's marks.
async fn read_marks(connection: &mut PgConnection, lesson: &OpenLesson) -> Result<Vec<Mark>> {
    let marks = sqlx::query_as!(
        Mark,
        "SELECT d.roadmap_id, d.requested_seq AS seq
         FROM progress_dirty d
         WHERE d.user_id = $1
           AND d.roadmap_id IN (
               SELECT s.roadmap_id FROM stage_lessons sl JOIN stages s ON s.id = sl.stage_id WHERE sl.lesson_id = $2)
           AND EXISTS (SELECT FROM visible_roadmaps r WHERE r.id = d.roadmap_id)
         ORDER BY d.roadmap_id",
        lesson.caller.user_id,
        lesson.id
    );
    Ok(marks.fetch_all(connection).await?)
}

/// Enqueues a rollup for each of the lesson's stale markers that no job is waiting for yet, and returns the marks.
///
/// Follows a change of the fact, whose trigger has already raised and locked the markers.
async fn enqueue_rollups(tx: &mut Tx, lesson: &OpenLesson) -> Result<Vec<Mark>> {
    let rows = sqlx::query!(
        r#"WITH mark AS (
               SELECT d.roadmap_id, d.requested_seq,
                      d.queued_at IS NULL AND d.done_seq < d.requested_seq AS needs_job
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
        lesson.id
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
