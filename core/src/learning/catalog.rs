//! Lists of modules and roadmaps, with the caller's progress in each.
//!
//! Percent and status come from the stored rollup if it belongs to the current content. Otherwise, or if none is stored
//! yet, they are counted from the facts, so that the numbers always match the content they are shown with.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::rules::LessonStatus;
use crate::Result;
use crate::actor::Caller;

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
    /// The caller's progress.
    pub numbers: RoadmapNumbers,
}

/// A learner's progress in a roadmap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoadmapNumbers {
    /// Never [`LessonStatus::Locked`].
    pub status: LessonStatus,
    /// Whole percent of the required lessons; `None` if there are none.
    pub percent: Option<i16>,
    /// The number of required lessons.
    pub lessons_total: i32,
    /// How many of them the learner completed.
    pub lessons_completed: i32,
    /// The number of stages that have required lessons.
    pub stages_total: i32,
    /// How many of them the learner completed.
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
}

/// At most `limit` visible roadmaps, starting after `after`.
pub async fn roadmaps(
    connection: &mut PgConnection,
    caller: &Caller,
    after: Option<Position>,
    limit: i64,
) -> Result<Vec<Roadmap>> {
    select_roadmaps(connection, caller, after, false, limit).await
}

/// At most `limit` visible roadmaps that the caller started.
pub async fn started_roadmaps(connection: &mut PgConnection, caller: &Caller, limit: i64) -> Result<Vec<Roadmap>> {
    select_roadmaps(connection, caller, None, true, limit).await
}

async fn select_roadmaps(
    connection: &mut PgConnection,
    caller: &Caller,
    after: Option<Position>,
    only_started: bool,
    limit: i64,
) -> Result<Vec<Roadmap>> {
    let (position, id) = after.unzip();
    let rows = sqlx::query!(
        // Progress in a roadmap that was never started is not counted when only started ones are wanted.
        r#"WITH page AS MATERIALIZED (
               SELECT r.* FROM visible_roadmaps r
               WHERE ($2::integer IS NULL OR (r.position, r.id) > ($2, $3::uuid))
                 AND (NOT $4 OR EXISTS (
                     SELECT FROM progress_dirty d WHERE d.user_id = $1 AND d.roadmap_id = r.id))
               ORDER BY r.position, r.id
               LIMIT CASE WHEN NOT $4 THEN $5::bigint END
           )
           SELECT r.id AS "id!", r.slug AS "slug!: String", r.title AS "title!", r.summary AS "summary!",
                  r.is_sequential AS "is_sequential!", r.position AS "position!",
                  n.status AS "status!: LessonStatus", n.percent, n.lessons_total AS "lessons_total!",
                  n.lessons_completed AS "lessons_completed!", n.stages_total AS "stages_total!",
                  n.stages_completed AS "stages_completed!", n.completed_at, n.achieved_at, n.seq AS "seq!",
                  n.is_current AS "is_current!", n.is_recalculating AS "is_recalculating!"
           FROM page r
           JOIN roadmap_numbers($1, array(SELECT id FROM page)) n ON n.roadmap_id = r.id
           WHERE NOT $4 OR n.is_started
           ORDER BY r.position, r.id
           LIMIT $5"#,
        caller.user_id,
        position,
        id,
        only_started,
        limit
    );
    let roadmaps = rows.fetch_all(connection).await?.into_iter().map(|row| Roadmap {
        id: row.id,
        slug: row.slug,
        title: row.title,
        summary: row.summary,
        is_sequential: row.is_sequential,
        position: row.position,
        numbers: RoadmapNumbers {
            status: row.status,
            percent: row.percent,
            lessons_total: row.lessons_total,
            lessons_completed: row.lessons_completed,
            stages_total: row.stages_total,
            stages_completed: row.stages_completed,
            completed_at: row.completed_at,
            achieved_at: row.achieved_at,
            seq: row.seq,
            is_current: row.is_current,
            is_recalculating: row.is_recalculating,
        },
    });
    Ok(roadmaps.collect())
}

/// Whether the database has no roadmaps, not even deleted ones.
pub async fn has_no_roadmaps(connection: &mut PgConnection) -> Result<bool> {
    Ok(sqlx::query_scalar!(r#"SELECT NOT EXISTS (SELECT FROM roadmaps) AS "empty!""#).fetch_one(connection).await?)
}
