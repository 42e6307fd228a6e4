//! Likes. The rows of `project_likes` are authoritative; `likes_count` is recounted from them.
//!
//! ```text
//!   like / unlike ──► row + marker, if there is none ──► CountLikes (by the request that set the marker)
//!                        │ shared lock until commit          │ exclusive lock
//!                        ▼                                   ▼
//!   readers: marker there? count rows : stored count    marker away, rows counted, count stored
//! ```
//!
//! Triggers set the marker and take its lock (`migrations/0106_community.sql`), so rows that are changed by hand are counted
//! as well.

use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::Result;
use crate::activity::{Action, Verb};
use crate::community::jobs::CountLikes;
use crate::db::{Tx, UserTx};
use crate::noun::Noun;
use crate::refusal::{NotFound, OrRefuse, Rejected};

/// The result of a like or unlike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LikeState {
    /// Whether the caller likes the project now.
    pub is_liked: bool,
    /// The number of likes, including the caller's.
    pub likes_count: i64,
}

/// Adds the caller's like to a published project. Repeating the call changes nothing.
pub async fn add(tx: &mut UserTx, project_id: Uuid) -> Result<LikeState, Rejected<NotFound>> {
    let project = sqlx::query!(
        r#"WITH project AS (
               SELECT p.id, p.title FROM showcase_projects p JOIN users u ON u.id = p.user_id
               WHERE p.id = $1 AND p.status = 'published' AND p.deleted_at IS NULL AND u.deleted_at IS NULL
           ), added AS (
               INSERT INTO project_likes (project_id, user_id) SELECT id, $2 FROM project
               ON CONFLICT ON CONSTRAINT project_likes_pkey DO NOTHING
               RETURNING project_id
           )
           SELECT title, EXISTS (SELECT FROM added) AS "is_new!" FROM project"#,
        project_id,
        tx.caller().user_id
    )
    .fetch_optional(&mut ***tx)
    .await?
    .or_not_found(Noun::Project)?;
    if project.is_new {
        tx.record(Action::new(Noun::Project, Verb::Liked).on(project_id, &project.title))?;
    }
    Ok(LikeState { is_liked: true, likes_count: count_and_enqueue(tx, project_id).await? })
}

/// Removes the caller's like from a published project. Repeating the call changes nothing.
pub async fn remove(tx: &mut UserTx, project_id: Uuid) -> Result<LikeState, Rejected<NotFound>> {
    let project = sqlx::query!(
        r#"WITH project AS (
               SELECT p.id, p.title FROM showcase_projects p JOIN users u ON u.id = p.user_id
               WHERE p.id = $1 AND p.status = 'published' AND p.deleted_at IS NULL AND u.deleted_at IS NULL
           ), removed AS (
               DELETE FROM project_likes WHERE project_id IN (SELECT id FROM project) AND user_id = $2
               RETURNING project_id
           )
           SELECT title, EXISTS (SELECT FROM removed) AS "was_there!" FROM project"#,
        project_id,
        tx.caller().user_id
    )
    .fetch_optional(&mut ***tx)
    .await?
    .or_not_found(Noun::Project)?;
    if project.was_there {
        tx.record(Action::new(Noun::Project, Verb::Unliked).on(project_id, &project.title))?;
    }
    Ok(LikeState { is_liked: false, likes_count: count_and_enqueue(tx, project_id).await? })
}

/// The number of likes, including changes by this transaction. Enqueues the recount if this transaction set the marker.
///
/// An older marker belongs to a transaction that has already enqueued the recount. That recount waits for this transaction's
/// shared lock and therefore includes its like. To find out who set the marker, its row is only read: `xmin` is the
/// transaction that inserted it. An UPDATE, the usual way to claim a row, would make all likes of a popular project wait for
/// each other's commits. Only [`requeue_waiting`] sets `queued_at`.
async fn count_and_enqueue(tx: &mut Tx, project_id: Uuid) -> Result<i64> {
    let project = sqlx::query!(
        r#"SELECT coalesce(d.xmin = pg_current_xact_id_if_assigned()::xid, false) AS "has_our_marker!",
               CASE WHEN d.project_id IS NULL THEN p.likes_count
                    ELSE (SELECT count(*) FROM project_likes l WHERE l.project_id = p.id) END AS "likes_count!"
           FROM showcase_projects p LEFT JOIN likes_dirty d ON d.project_id = p.id
           WHERE p.id = $1"#,
        project_id
    )
    .fetch_one(&mut **tx)
    .await?;
    if project.has_our_marker {
        tx.enqueue(&CountLikes { project_id })?;
    }
    Ok(project.likes_count)
}

/// How long to wait before a marked project may be recounted; `None` if it is not marked.
///
/// A project is counted at most five times a second, however many likes it receives.
pub async fn due_in(connection: &mut PgConnection, project_id: Uuid) -> Result<Option<Duration>> {
    // Never longer than 0.2 s, even if the clock was set back.
    let seconds = sqlx::query_scalar!(
        r#"SELECT coalesce(
               least(0.2, greatest(0, extract(epoch FROM p.likes_counted_at - clock_timestamp()) + 0.2)), 0
           )::float8 AS "seconds!"
           FROM likes_dirty d JOIN showcase_projects p ON p.id = d.project_id
           WHERE d.project_id = $1"#,
        project_id
    )
    .fetch_optional(connection)
    .await?;
    Ok(seconds.map(Duration::from_secs_f64))
}

/// Recounts the likes of a marked project and removes the marker. Returns whether the project was marked.
///
/// This takes three statements because at READ COMMITTED each of them sees what was committed before it began. Transactions
/// that saw the marker hold the lock in shared mode until they commit, so only a statement that begins after the exclusive
/// lock was granted sees all their likes. Later likes wait for this commit, find no marker and set a new one.
pub async fn recount(tx: &mut Tx, project_id: Uuid) -> Result<bool> {
    sqlx::query!("SELECT pg_advisory_xact_lock(likes_lock_key($1))", project_id).execute(&mut **tx).await?;
    let marker = sqlx::query!("DELETE FROM likes_dirty WHERE project_id = $1", project_id).execute(&mut **tx).await?;
    if marker.rows_affected() == 0 {
        return Ok(false);
    }
    store_counts(tx, &[project_id]).await?;
    Ok(true)
}

/// Stores how many likes projects have, and how many of them are of the last seven days (see [`super::trending`]).
pub(super) async fn store_counts(connection: &mut PgConnection, project_ids: &[Uuid]) -> Result<()> {
    // The count was made at clock_timestamp(), not at now(), when the transaction began, before it waited for a lock.
    sqlx::query!(
        "UPDATE showcase_projects p
         SET likes_count = l.likes, trending_likes = l.recent, trending_since = l.since,
             likes_counted_at = clock_timestamp()
         FROM (
             SELECT t.id, w.since,
                 (SELECT count(*) FROM project_likes k WHERE k.project_id = t.id)::integer AS likes,
                 (SELECT count(*) FROM project_likes k WHERE k.project_id = t.id AND k.created_at >= w.since)::integer
                     AS recent
             FROM unnest($1::uuid[]) AS t (id), (SELECT now() - interval '7 days' AS since) w
         ) l
         WHERE p.id = l.id",
        project_ids
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Enqueues the recount of at most `limit` projects whose marker is older than `age`, for instance because rows were changed
/// by hand or a job died. Does so for each project at most once per `age`. Returns the number of projects.
pub async fn requeue_waiting(tx: &mut Tx, age: Duration, limit: i64) -> Result<usize> {
    let project_ids = sqlx::query_scalar!(
        "UPDATE likes_dirty SET queued_at = now() WHERE project_id = ANY (ARRAY(
             SELECT project_id FROM likes_dirty
             WHERE greatest(marked_at, queued_at) < now() - make_interval(secs => $1)
             ORDER BY project_id LIMIT $2 FOR UPDATE SKIP LOCKED))
         RETURNING project_id",
        age.as_secs_f64(),
        limit
    )
    .fetch_all(&mut **tx)
    .await?;
    for project_id in &project_ids {
        tx.enqueue(&CountLikes { project_id: *project_id })?;
    }
    Ok(project_ids.len())
}
