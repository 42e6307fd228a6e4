//! Lists of modules and roadmaps, with the caller's progress in each.
//!
//! Percent and status come from the stored rollup if it belongs to the current content. Otherwise, or if none is stored
//! yet, they are counted from the facts, so that the numbers always match the content they are shown with.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::rules::LessonStatus;
use crate::Result;
use crate::activity::Noun;
use crate::actor::Caller;
use crate::refusal::{NotFound, OrRefuse, Rejected};

/// Sort key of lists that are ordered by position: the position and the id.
pub type Position = (i32, Uuid);

/// A module: the group that lessons belong to.
#[derive(Clone, Debug)]
pub struct Module {
    /// Identifies the module.
    pub id: Uuid,
    /// The readable identifier; unique among modules.
    pub slug: String,
    /// Shown to learners.
    pub title: String,
    /// A short description.
    pub summary: String,
    /// Orders the list, together with the id.
    pub position: i32,
    /// The number of visible lessons.
    pub lessons_total: i32,
    /// How many of them the caller completed.
    pub lessons_completed: i32,
}

/// At most `limit` visible modules, starting after `after`.
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
    /// Identifies the roadmap.
    pub id: Uuid,
    /// The readable identifier; unique among roadmaps.
    pub slug: String,
    /// Shown to learners.
    pub title: String,
    /// A short description.
    pub summary: String,
    /// Whether a stage opens only after every earlier stage with required lessons is completed.
    pub is_sequential: bool,
    /// Orders the list, together with the id.
    pub position: i32,
    /// Never [`LessonStatus::Locked`].
    pub status: LessonStatus,
    /// Whole percent of the required lessons; `None` if there are none.
    pub percent: Option<i16>,
    /// The number of required lessons.
    pub lessons_total: i32,
    /// How many of them the caller completed.
    pub lessons_completed: i32,
    /// The number of stages that have required lessons.
    pub stages_total: i32,
    /// How many of them the caller completed.
    pub stages_completed: i32,
    /// When the roadmap was completed; `None` unless it is completed now.
    pub completed_at: Option<DateTime<Utc>>,
    /// When the roadmap was completed for the first time; kept even if it is reopened.
    pub achieved_at: Option<DateTime<Utc>>,
    /// The sequence number of the latest change that these numbers include.
    pub seq: i64,
    /// Whether these numbers include every change so far.
    pub is_current: bool,
    /// Whether the stored numbers belong to older content and are about to be recomputed.
    pub is_recalculating: bool,
    /// Whether these numbers are the stored ones, as opposed to having been counted for this request.
    pub(super) is_stored: bool,
}

/// At most `limit` visible roadmaps, starting after `after`.
pub async fn roadmaps(
    connection: &mut PgConnection,
    caller: &Caller,
    after: Option<Position>,
    limit: i64,
) -> Result<Vec<Roadmap>> {
    select_roadmaps(connection, caller, None, after, false, limit).await
}

/// Finds a visible roadmap.
pub async fn find_roadmap(
    connection: &mut PgConnection,
    caller: &Caller,
    roadmap_id: Uuid,
) -> Result<Roadmap, Rejected<NotFound>> {
    select_roadmaps(connection, caller, Some(roadmap_id), None, false, 1).await?.pop().or_not_found(Noun::Roadmap)
}

/// At most `limit` visible roadmaps that the caller started.
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

/// Whether the database has no roadmaps, not even deleted ones.
pub async fn has_no_roadmaps(connection: &mut PgConnection) -> Result<bool> {
    Ok(sqlx::query_scalar!(r#"SELECT NOT EXISTS (SELECT FROM roadmaps) AS "empty!""#).fetch_one(connection).await?)
}
