//! Imports of courses that admins ask for over HTTP. A job runs them, because they can take long.
//!
//! ```text
//! queued ──▶ running ──▶ completed (what changed, or what would change)
//!               └──────▶ failed (why)
//! ```
//!
//! An import is one transaction, which also stores its result. So it is imported once however often the job is repeated, and
//! nothing of it if it fails. A dry run is the same import, rolled back.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgConnection;
use tokio::sync::watch;
use uuid::Uuid;

use super::course::{self, Course, ImportError, Summary};
use crate::activity::{Action, Verb};
use crate::actor::{Actor, Origin};
use crate::clock::new_id;
use crate::db::{Db, Tx, UserTx};
use crate::learning::jobs::ImportCourse;
use crate::noun::Noun;
use crate::queue::stored;
use crate::refusal::{NotFound, OrRefuse, Rejected};
use crate::{Error, Result};

/// How often the progress of a running import is stored.
const REPORT_INTERVAL: Duration = Duration::from_millis(250);

/// How far an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "course_import_state", rename_all = "snake_case")]
pub enum ImportState {
    /// The job has not started yet.
    Queued,
    /// The job is running.
    Running,
    /// The course is imported; a dry run has found out what would change.
    Completed,
    /// Nothing was imported.
    Failed,
}

/// An import. Counts are in objects, of which a lesson, a task and the placement of a lesson are one each.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "columns of the table course_imports")]
pub struct Import {
    pub id: Uuid,
    pub is_dry_run: bool,
    pub state: ImportState,
    pub objects_done: i32,
    pub objects_total: i32,
    pub created_count: Option<i32>,
    pub updated_count: Option<i32>,
    pub unchanged_count: Option<i32>,
    pub deleted_count: Option<i32>,
    pub error: Option<String>,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
}

/// Selects imports from `$from`, which is the table or a statement that returns its rows.
macro_rules! select_imports {
    ($with:literal, $from:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Import,
            $with
                + r#" SELECT id AS "id!", is_dry_run AS "is_dry_run!", state AS "state!: ImportState",
                       objects_done AS "objects_done!", objects_total AS "objects_total!", created_count, updated_count,
                       unchanged_count, deleted_count, error, created_at AS "created_at!", started_at, finished_at
                   FROM "#
                + $from,
            $($argument),*
        )
    };
}

/// Stores a document that was checked, and enqueues its import.
pub async fn request(tx: &mut UserTx, document: &str, course: &Course, is_dry_run: bool) -> Result<Import> {
    let id = new_id();
    let user_id = tx.caller().user_id;
    let import = select_imports!(
        "WITH made AS (
             INSERT INTO course_imports (id, requested_by, is_dry_run, document, objects_total)
             VALUES ($1, $2, $3, $4, $5) RETURNING *
         )",
        "made",
        id,
        user_id,
        is_dry_run,
        document,
        count(course::count(course)),
    );
    let import = import.fetch_one(&mut ***tx).await?;
    tx.enqueue(&ImportCourse { import_id: id })?;
    tx.record(Action::new(Noun::Import, Verb::Created).on(id, "").with(json!({ "is_dry_run": is_dry_run })))?;
    Ok(import)
}

/// At most `limit` imports, newest first, starting after the one with the time and id of `before`.
pub async fn list(
    connection: &mut PgConnection,
    before: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<Import>> {
    let (created_at, id) = before.unzip();
    let imports = select_imports!(
        "",
        "course_imports
         WHERE (created_at, id)
               < (coalesce($1, 'infinity'::timestamptz), coalesce($2::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
         ORDER BY created_at DESC, id DESC LIMIT $3",
        created_at,
        id,
        limit
    );
    Ok(imports.fetch_all(connection).await?)
}

/// Finds an import.
pub async fn find(connection: &mut PgConnection, id: Uuid) -> Result<Import, Rejected<NotFound>> {
    let import = select_imports!("", "course_imports WHERE id = $1", id);
    import.fetch_optional(connection).await?.or_not_found(Noun::Import)
}

/// Runs an import, unless it has ended.
pub async fn run(db: &Db, id: Uuid) -> Result<()> {
    let started = sqlx::query!(
        r#"UPDATE course_imports SET state = 'running', started_at = coalesce(started_at, now())
           WHERE id = $1 AND state IN ('queued', 'running')
           RETURNING requested_by, is_dry_run, document AS "document!""#,
        id
    );
    let Some(started) = started.fetch_optional(&mut *db.acquire().await?).await? else { return Ok(()) };
    let course = match course::parse(&started.document) {
        Ok(course) => course,
        // It was checked when it was sent, so it was sent to another release.
        Err(problems) => {
            let first = problems.first().map(ToString::to_string).unwrap_or_default();
            return fail(&mut *db.acquire().await?, id, &first).await;
        }
    };
    let actor = Actor { user_id: started.requested_by, origin: Origin::default() };
    let mut tx = db.begin_for(actor).await?;
    match import_reporting(db, &mut tx, id, &course).await {
        Ok(summary) if started.is_dry_run => {
            tx.rollback().await?;
            complete(&mut *db.acquire().await?, id, summary).await
        }
        Ok(summary) => {
            complete(&mut tx, id, summary).await?;
            tx.commit().await
        }
        Err(ImportError::Conflict(reason)) => {
            tx.rollback().await?;
            fail(&mut *db.acquire().await?, id, &reason).await
        }
        Err(ImportError::Failed(error)) => Err(error),
    }
}

/// Imports, and stores meanwhile how many objects are done, outside of the transaction.
async fn import_reporting(db: &Db, tx: &mut Tx, id: Uuid, course: &Course) -> Result<Summary, ImportError> {
    let (sender, receiver) = watch::channel(0);
    let importing = course::import(tx, course, |done, _| {
        sender.send_replace(count(done));
    });
    let reporting = async {
        let mut reported = 0;
        loop {
            tokio::time::sleep(REPORT_INTERVAL).await;
            let done = *receiver.borrow();
            if done != reported {
                let report = sqlx::query!(
                    "UPDATE course_imports SET objects_done = $2 WHERE id = $1 AND state = 'running'",
                    id,
                    done
                );
                report.execute(&mut *db.acquire().await?).await.map_err(Error::from)?;
                reported = done;
            }
        }
    };
    tokio::select! {
        summary = importing => summary,
        failed = reporting => failed,
    }
}

async fn complete(connection: &mut PgConnection, id: Uuid, summary: Summary) -> Result<()> {
    sqlx::query!(
        "UPDATE course_imports SET state = 'completed', finished_at = now(), document = NULL, objects_done = objects_total,
             created_count = $2, updated_count = $3, unchanged_count = $4, deleted_count = $5
         WHERE id = $1 AND state = 'running'",
        id,
        count(summary.created),
        count(summary.updated),
        count(summary.unchanged),
        count(summary.removed)
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn fail(connection: &mut PgConnection, id: Uuid, reason: &str) -> Result<()> {
    let reason: String = reason.chars().take(2000).collect();
    sqlx::query!(
        "UPDATE course_imports SET state = 'failed', finished_at = now(), document = NULL, error = $2
         WHERE id = $1 AND state IN ('queued', 'running')",
        id,
        reason
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Fails imports whose job is dead, and enqueues a job for those that have none (it was removed by hand).
pub async fn requeue_waiting(tx: &mut Tx) -> Result<()> {
    let jobs = stored::<ImportCourse>(tx).await?;
    let live: HashSet<Uuid> = jobs.live.iter().map(|job| job.import_id).collect();
    for job in jobs.dead.iter().filter(|job| !live.contains(&job.import_id)) {
        fail(tx, job.import_id, "The import was tried several times, and failed for an internal reason.").await?;
    }
    let live: Vec<Uuid> = live.into_iter().collect();
    let jobless = sqlx::query_scalar!(
        "SELECT id FROM course_imports
         WHERE state IN ('queued', 'running') AND created_at NOT BETWEEN now() - interval '1 minute' AND now() + interval '1 minute' AND id <> ALL ($1)
         ORDER BY created_at LIMIT 100",
        &live
    );
    for import_id in jobless.fetch_all(&mut **tx).await? {
        tx.enqueue(&ImportCourse { import_id })?;
    }
    Ok(())
}

fn count(objects: u64) -> i32 {
    objects.try_into().unwrap_or(i32::MAX)
}
