//! The tree of a roadmap: its stages and their lessons.
//!
//! What everybody sees ([`Content`]) is read once and may be kept. A learner's progress in it
//! ([`super::tree_progress::Progress`]) is read by one statement, which also says whether the content is still right.

use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::course::CompletionRule;
use crate::noun::Noun;
use crate::refusal::{NotFound, OrRefuse, Rejected};

/// What a roadmap shows to everybody.
#[derive(Clone, Debug)]
pub struct Content {
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
    /// The visible stages, in order.
    pub stages: Vec<Stage>,
    /// The version that stored progress must have to belong to this content.
    pub(super) version: i64,
    /// The snapshot in which it was read, as `pg_current_snapshot()` gives it.
    pub(super) snapshot: String,
}

/// A stage as everybody sees it.
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
    /// The visible lessons, in order.
    pub lessons: Vec<StageLesson>,
}

/// A lesson of a stage as everybody sees it.
#[derive(Clone, Debug)]
pub struct StageLesson {
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
    /// Whether the lesson counts towards completing the stage.
    pub is_required: bool,
    /// Whether the lesson is in other stages, too.
    pub(super) is_elsewhere: bool,
}

/// Reads what a visible roadmap shows to everybody. The connection must be in a snapshot ([`crate::db::Db::snapshot`]).
pub async fn content(snapshot: &mut PgConnection, roadmap_id: Uuid) -> Result<Content, Rejected<NotFound>> {
    let roadmap = sqlx::query!(
        r#"SELECT slug AS "slug!: String", title AS "title!", summary AS "summary!", is_sequential AS "is_sequential!",
                  content_version AS "version!", pg_current_snapshot()::text AS "snapshot!"
           FROM visible_roadmaps WHERE id = $1"#,
        roadmap_id
    );
    let roadmap = roadmap.fetch_optional(&mut *snapshot).await?.or_not_found(Noun::Roadmap)?;
    let stages = sqlx::query!(
        r#"SELECT id AS "id!", slug AS "slug!: String", title AS "title!", summary AS "summary!"
           FROM visible_stages WHERE roadmap_id = $1 ORDER BY position, id"#,
        roadmap_id
    );
    let stages = stages.fetch_all(&mut *snapshot).await?;
    let lessons = sqlx::query!(
        r#"SELECT s.id AS "stage_id!", sl.is_required, l.id AS "id!", l.slug AS "slug!: String", l.title AS "title!",
                  l.summary AS "summary!", l.duration_minutes AS "duration_minutes!",
                  l.completion AS "completion!: CompletionRule",
                  (SELECT count(*) FROM stage_lessons o WHERE o.lesson_id = l.id) > 1 AS "is_elsewhere!"
           FROM visible_stages s
           JOIN stage_lessons sl ON sl.stage_id = s.id
           JOIN visible_lessons l ON l.id = sl.lesson_id
           WHERE s.roadmap_id = $1
           ORDER BY s.position, s.id, sl.position, l.id"#,
        roadmap_id
    );
    let mut by_stage: HashMap<Uuid, Vec<StageLesson>> = HashMap::new();
    for row in lessons.fetch_all(snapshot).await? {
        by_stage.entry(row.stage_id).or_default().push(StageLesson {
            id: row.id,
            slug: row.slug,
            title: row.title,
            summary: row.summary,
            duration_minutes: row.duration_minutes,
            completion: row.completion,
            is_required: row.is_required,
            is_elsewhere: row.is_elsewhere,
        });
    }
    let stages = stages.into_iter().map(|row| Stage {
        lessons: by_stage.remove(&row.id).unwrap_or_default(),
        id: row.id,
        slug: row.slug,
        title: row.title,
        summary: row.summary,
    });
    Ok(Content {
        id: roadmap_id,
        slug: roadmap.slug,
        title: roadmap.title,
        summary: roadmap.summary,
        is_sequential: roadmap.is_sequential,
        stages: stages.collect(),
        version: roadmap.version,
        snapshot: roadmap.snapshot,
    })
}
