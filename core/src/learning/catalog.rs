//! What there is to learn, with the caller's progress merged in: modules and roadmaps.
//!
//! Percent and status come from the stored rollup, if it is of the current content; if not, or if none is stored yet, they
//! are counted from the facts. So whatever is shown belongs to the content that it is shown with.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::rules::LessonStatus;
use crate::Result;
use crate::activity::Noun;
use crate::actor::Caller;
use crate::refusal::{NotFound, OrRefuse, Rejected};

/// Sort key of lists that are ordered by position.
pub type Position = (i32, Uuid);

/// A home of lessons.
#[derive(Clone, Debug)]
pub struct Module {
    /// Id.
    pub id: Uuid,
    /// Name in addresses.
    pub slug: String,
    /// Title.
    pub title: String,
    /// What it is about.
    pub summary: String,
    /// Where it stands in the list.
    pub position: i32,
    /// Its visible lessons.
    pub lessons_total: i32,
    /// Those that the caller completed.
    pub lessons_completed: i32,
}

/// Up to `limit` visible modules after `after`.
pub async fn modules(
    connection: &mut PgConnection,
    caller: &Caller,
    after: Option<Position>,
    limit: i64,
) -> Result<Vec<Module>> {
    let (position, id) = after.unzip();
    let rows = sqlx::query_as!(
        Module,
        r#"SELECT m.id, m.slug AS "slug: String", m.title, m.summary, m.position,
                  c.total AS "lessons_total!", c.completed AS "lessons_completed!"
           FROM course_modules m
           CROSS JOIN LATERAL (
               SELECT count(*)::integer AS total, count(f.lesson_id)::integer AS completed
               FROM visible_lessons l
               LEFT JOIN user_lesson_progress f ON f.user_id = $1 AND f.lesson_id = l.id AND f.status = 'completed'
               WHERE l.module_id = m.id
           ) c
           WHERE m.deleted_at IS NULL AND m.publication = 'published'
             AND ($2::integer IS NULL OR (m.position, m.id) > ($2, $3::uuid))
           ORDER BY m.position, m.id
           LIMIT $4"#,
        caller.user_id,
        position,
        id,
        limit
    );
    Ok(rows.fetch_all(connection).await?)
}

/// A roadmap and the caller's progress in it.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "a row: each answers a question of its own")]
pub struct Roadmap {
    /// Id.
    pub id: Uuid,
    /// Name in addresses.
    pub slug: String,
    /// Title.
    pub title: String,
    /// What it leads to.
    pub summary: String,
    /// Whether a stage opens only when every earlier one that counts is completed.
    pub is_sequential: bool,
    /// Where it stands in the list.
    pub position: i32,
    /// Never [`LessonStatus::Locked`].
    pub status: LessonStatus,
    /// Whole percent; none = there is nothing to do.
    pub percent: Option<i16>,
    /// Required lessons.
    pub lessons_total: i32,
    /// Those completed.
    pub lessons_completed: i32,
    /// Stages that have required lessons.
    pub stages_total: i32,
    /// Those completed.
    pub stages_completed: i32,
    /// When it was completed; set while it is.
    pub completed_at: Option<DateTime<Utc>>,
    /// When it was completed for the first time; stays.
    pub achieved_at: Option<DateTime<Utc>>,
    /// The sequence number that these numbers have seen.
    pub seq: i64,
    /// Whether they have seen every fact.
    pub is_current: bool,
    /// Whether the stored numbers are of older content and about to be recomputed.
    pub is_recalculating: bool,
    /// Whether these numbers are the stored ones, and not counted just now.
    pub(super) is_stored: bool,
}

/// Up to `limit` visible roadmaps after `after`.
pub async fn roadmaps(
    connection: &mut PgConnection,
    caller: &Caller,
    after: Option<Position>,
    limit: i64,
) -> Result<Vec<Roadmap>> {
    select_roadmaps(connection, caller, None, after, false, limit).await
}

/// A visible roadmap.
pub async fn find_roadmap(
    connection: &mut PgConnection,
    caller: &Caller,
    roadmap_id: Uuid,
) -> Result<Roadmap, Rejected<NotFound>> {
    select_roadmaps(connection, caller, Some(roadmap_id), None, false, 1).await?.pop().or_not_found(Noun::Roadmap)
}

/// Up to `limit` visible roadmaps that the caller started.
pub async fn started_roadmaps(connection: &mut PgConnection, caller: &Caller, limit: i64) -> Result<Vec<Roadmap>> {
    select_roadmaps(connection, caller, None, None, true, limit).await
}

async fn select_roadmaps(
    connection: &mut PgConnection,
    caller: &Caller,
    roadmap_id: Option<Uuid>,
    after: Option<Position>,
    only_started: bool,
    limit: i64,
) -> Result<Vec<Roadmap>> {
    let (position, id) = after.unzip();
    let rows = sqlx::query_as!(
        Roadmap,
        r#"SELECT r.id AS "id!", r.slug AS "slug!: String", r.title AS "title!", r.summary AS "summary!",
                  r.is_sequential AS "is_sequential!", r.position AS "position!",
                  n.status AS "status!: LessonStatus", progress_percent(n.lessons_completed, n.lessons_total) AS percent,
                  n.lessons_total AS "lessons_total!", n.lessons_completed AS "lessons_completed!",
                  n.stages_total AS "stages_total!", n.stages_completed AS "stages_completed!",
                  CASE WHEN n.status = 'completed' THEN coalesce(p.completed_at, n.completed_at) END AS completed_at,
                  coalesce(p.achieved_at, n.completed_at) AS achieved_at,
                  coalesce(CASE WHEN n.is_stored THEN d.done_seq ELSE d.requested_seq END, 0) AS "seq!",
                  NOT n.is_stored OR d.done_seq = d.requested_seq AS "is_current!",
                  coalesce(d.done_version < r.content_version, false) AS "is_recalculating!",
                  n.is_stored AS "is_stored!"
           FROM visible_roadmaps r
           LEFT JOIN user_roadmap_progress p ON p.user_id = $1 AND p.roadmap_id = r.id
           LEFT JOIN progress_dirty d ON d.user_id = $1 AND d.roadmap_id = r.id
           CROSS JOIN LATERAL (
               SELECT true AS is_stored, p.status, p.lessons_total, p.lessons_completed, p.stages_total, p.stages_completed,
                   p.completed_at
               WHERE p.user_id IS NOT NULL AND d.done_version = r.content_version
               UNION ALL
               SELECT false, c.status, c.lessons_total, c.lessons_completed, c.stages_total, c.stages_completed,
                   c.completed_at
               FROM count_roadmap($1, r.id) c
               WHERE (p.user_id IS NOT NULL AND d.done_version = r.content_version) IS NOT TRUE
           ) n
           WHERE ($2::uuid IS NULL OR r.id = $2)
             AND ($3::integer IS NULL OR (r.position, r.id) > ($3, $4::uuid))
             AND (NOT $5 OR (d.user_id IS NOT NULL AND n.status IN ('in_progress', 'completed')))
           ORDER BY r.position, r.id
           LIMIT $6"#,
        caller.user_id,
        roadmap_id,
        position,
        id,
        only_started,
        limit
    );
    Ok(rows.fetch_all(connection).await?)
}

/// Whether there is no roadmap yet, not even a deleted one.
pub async fn has_no_roadmaps(connection: &mut PgConnection) -> Result<bool> {
    Ok(sqlx::query_scalar!(r#"SELECT NOT EXISTS (SELECT FROM roadmaps) AS "empty!""#).fetch_one(connection).await?)
}
