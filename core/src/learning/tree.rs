//! The tree of a roadmap: its stages and their lessons, together with the caller's progress.
//!
//! The status and counts of stages come from the same source as those of the roadmap: either the stored rollup or a count
//! of the facts. Read the roadmap, its stages and its lessons in one snapshot ([`crate::db::Db::snapshot`]), so that they
//! are consistent with each other.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::catalog::Roadmap;
use super::course::CompletionRule;
use super::lessons::{Fact, lesson_status};
use super::locks::{self, is_locked};
use super::rules::{LessonStatus, StageCounts, missing_before};
use crate::Result;
use crate::actor::Caller;

/// A stage and the caller's progress in it.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Identifies the stage.
    pub id: Uuid,
    /// The readable identifier; unique within the roadmap.
    pub slug: String,
    /// Shown to learners.
    pub title: String,
    /// A short description.
    pub summary: String,
    /// The caller's status.
    pub status: LessonStatus,
    /// Whole percent of the required lessons; `None` if there are none.
    pub percent: Option<i16>,
    /// The number of required lessons.
    pub lessons_total: i32,
    /// How many of them the caller completed.
    pub lessons_completed: i32,
    /// When the stage was completed; `None` unless it is completed now.
    pub completed_at: Option<DateTime<Utc>>,
    /// When the stage was completed for the first time; kept even if it is reopened.
    pub achieved_at: Option<DateTime<Utc>>,
    /// The stages that must be completed first; empty unless this one is locked.
    pub missing: Vec<StageCounts>,
}

/// The visible stages of a roadmap, in order.
pub async fn stages(connection: &mut PgConnection, caller: &Caller, roadmap: &Roadmap) -> Result<Vec<Stage>> {
    let rows = sqlx::query!(
        r#"SELECT s.id AS "id!", s.slug AS "slug!: String", s.title AS "title!", s.summary AS "summary!",
                  n.status AS "status!: LessonStatus", progress_percent(n.completed, n.total) AS percent,
                  n.total AS "total!", n.completed AS "completed!",
                  CASE WHEN n.status = 'completed' THEN coalesce(p.completed_at, c.completed_at) END AS completed_at,
                  coalesce(p.achieved_at, c.completed_at) AS achieved_at
           FROM visible_stages s
           LEFT JOIN user_stage_progress p ON p.user_id = $1 AND p.stage_id = s.id
           LEFT JOIN (SELECT * FROM count_stages($1, $2) WHERE NOT $3) c ON c.stage_id = s.id
           CROSS JOIN LATERAL (
               SELECT coalesce(c.status, p.status, 'available') AS status,
                   coalesce(c.lessons_total, p.lessons_total, 0) AS total,
                   coalesce(c.lessons_completed, p.lessons_completed, 0) AS completed
           ) n
           WHERE s.roadmap_id = $2
           ORDER BY s.position, s.id"#,
        caller.user_id,
        roadmap.id,
        roadmap.is_stored
    )
    .fetch_all(connection)
    .await?;
    let counts: Vec<StageCounts> = rows
        .iter()
        .map(|row| StageCounts {
            stage_id: row.id,
            title: row.title.clone(),
            lessons_total: row.total,
            lessons_completed: row.completed,
        })
        .collect();
    let stages = rows.into_iter().enumerate().map(|(index, row)| {
        let missing = match row.status {
            LessonStatus::Locked => missing_before(roadmap.is_sequential, &counts, index),
            _ => Vec::new(),
        };
        Stage {
            id: row.id,
            slug: row.slug,
            title: row.title,
            summary: row.summary,
            status: row.status,
            percent: row.percent,
            lessons_total: row.total,
            lessons_completed: row.completed,
            completed_at: row.completed_at,
            achieved_at: row.achieved_at,
            missing,
        }
    });
    Ok(stages.collect())
}

/// A lesson as part of a stage.
#[derive(Clone, Debug)]
pub struct StageLesson {
    /// The stage that contains it.
    pub stage_id: Uuid,
    /// Whether the lesson counts towards completing the stage.
    pub is_required: bool,
    /// Identifies the lesson.
    pub id: Uuid,
    /// The readable identifier; unique among lessons.
    pub slug: String,
    /// Shown to learners.
    pub title: String,
    /// A short description.
    pub summary: String,
    /// The expected duration in minutes.
    pub duration_minutes: i32,
    /// Who decides that the lesson is completed.
    pub completion: CompletionRule,
    /// What the caller did with the lesson; `None` if they never started it.
    pub fact: Option<Fact>,
    /// Whether every stage that contains the lesson is locked for the caller.
    pub is_locked: bool,
}

impl StageLesson {
    /// The lesson's status for the caller.
    pub fn status(&self) -> LessonStatus {
        lesson_status(self.fact, self.is_locked)
    }
}

/// The visible lessons of all stages of a roadmap, in order.
pub async fn lessons(
    connection: &mut PgConnection,
    caller: &Caller,
    roadmap: &Roadmap,
    stages: &[Stage],
) -> Result<Vec<StageLesson>> {
    let rows = sqlx::query!(
        r#"SELECT s.id AS "stage_id!", sl.is_required, l.id AS "id!", l.slug AS "slug!: String", l.title AS "title!",
                  l.summary AS "summary!", l.duration_minutes AS "duration_minutes!",
                  l.completion AS "completion!: CompletionRule",
                  f.status AS "status?: LessonStatus", f.started_at AS "started_at?", f.completed_at AS "completed_at?",
                  (SELECT count(*) FROM stage_lessons o WHERE o.lesson_id = l.id) > 1 AS "is_elsewhere!"
           FROM visible_stages s
           JOIN stage_lessons sl ON sl.stage_id = s.id
           JOIN visible_lessons l ON l.id = sl.lesson_id
           LEFT JOIN user_lesson_progress f ON f.user_id = $1 AND f.lesson_id = l.id
           WHERE s.roadmap_id = $2
           ORDER BY s.position, s.id, sl.position, l.id"#,
        caller.user_id,
        roadmap.id
    )
    .fetch_all(&mut *connection)
    .await?;
    let open_stages: HashSet<Uuid> =
        stages.iter().filter(|stage| stage.status != LessonStatus::Locked).map(|stage| stage.id).collect();
    let mut open: HashSet<Uuid> =
        rows.iter().filter(|row| open_stages.contains(&row.stage_id)).map(|row| row.id).collect();
    // A lesson that is locked here may be open in a stage of another roadmap.
    let elsewhere: Vec<Uuid> =
        rows.iter().filter(|row| row.is_elsewhere && !open.contains(&row.id)).map(|row| row.id).collect();
    if !elsewhere.is_empty() {
        let placements = locks::placements(connection, caller, &elsewhere).await?;
        open.extend(placements.iter().filter(|(_, placements)| !is_locked(placements)).map(|(id, _)| id));
    }
    let lessons = rows.into_iter().map(|row| StageLesson {
        stage_id: row.stage_id,
        is_required: row.is_required,
        id: row.id,
        slug: row.slug,
        title: row.title,
        summary: row.summary,
        duration_minutes: row.duration_minutes,
        completion: row.completion,
        fact: Fact::from_columns(row.status, row.started_at, row.completed_at),
        is_locked: !open.contains(&row.id),
    });
    Ok(lessons.collect())
}
