//! The stages that contain a lesson, and whether they are locked for a learner. Computed from the facts and the current
//! content, never from the rollup, so that completing the last lesson of a stage opens the next one for the very next
//! request.

use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;
use uuid::Uuid;

use super::rules::{StageCounts, missing_before};
use crate::Result;

/// A visible stage that contains a lesson.
#[derive(Clone, Debug)]
pub struct LessonPlacement {
    /// The roadmap of the stage.
    pub roadmap_id: Uuid,
    /// The title of that roadmap.
    pub roadmap_title: String,
    /// The stage.
    pub stage_id: Uuid,
    /// The title of the stage.
    pub stage_title: String,
    /// Whether the lesson counts towards completing the stage.
    pub is_required: bool,
    /// The stages that must be completed first; empty if the stage is open.
    pub missing: Vec<StageCounts>,
}

impl LessonPlacement {
    /// Whether the stage is locked.
    pub fn is_locked(&self) -> bool {
        !self.missing.is_empty()
    }
}

/// A lesson is locked if it is in at least one stage and every one of its stages is locked.
pub(super) fn is_locked(placements: &[LessonPlacement]) -> bool {
    !placements.is_empty() && placements.iter().all(LessonPlacement::is_locked)
}

/// Those of the lessons that are locked for a user.
pub async fn locked(connection: &mut PgConnection, user_id: Uuid, lesson_ids: &[Uuid]) -> Result<HashSet<Uuid>> {
    let placements = placements(connection, user_id, lesson_ids).await?;
    Ok(placements.into_iter().filter(|(_, placements)| is_locked(placements)).map(|(id, _)| id).collect())
}

/// The stages that contain each of the lessons, in the order of roadmaps and stages. A lesson that is in no visible stage
/// has no entry.
pub(super) async fn placements(
    connection: &mut PgConnection,
    user_id: Uuid,
    lesson_ids: &[Uuid],
) -> Result<HashMap<Uuid, Vec<LessonPlacement>>> {
    let rows = sqlx::query_as!(
        StageRow,
        r#"SELECT r.id AS "roadmap_id!", r.title AS "roadmap_title!", r.is_sequential AS "is_sequential!",
                  s.id AS "stage_id!", s.title AS "stage_title!",
                  c.total AS "total!", c.completed AS "completed!",
                  held.lesson_id AS "lesson_id?", held.is_required AS "is_required?"
           FROM visible_stages s
           JOIN visible_roadmaps r ON r.id = s.roadmap_id
           -- Only the stages of a sequential roadmap can be locked.
           CROSS JOIN LATERAL (
               SELECT count(*)::integer AS total,
                   -- Not correlated, so that the completed lessons are read once and not once for each lesson.
                   count(*) FILTER (WHERE sl.lesson_id IN (
                       SELECT f.lesson_id FROM user_lesson_progress f WHERE f.user_id = $1 AND f.status = 'completed'
                   ))::integer AS completed
               FROM stage_lessons sl
               JOIN visible_lessons l ON l.id = sl.lesson_id
               WHERE r.is_sequential AND sl.stage_id = s.id AND sl.is_required
           ) c
           LEFT JOIN stage_lessons held ON held.stage_id = s.id AND held.lesson_id = ANY ($2)
           WHERE s.roadmap_id IN (
               SELECT hs.roadmap_id FROM stage_lessons h JOIN stages hs ON hs.id = h.stage_id
               WHERE h.lesson_id = ANY ($2))
           ORDER BY r.position, r.id, s.position, s.id"#,
        user_id,
        lesson_ids,
    )
    .fetch_all(connection)
    .await?;
    let mut placements: HashMap<Uuid, Vec<LessonPlacement>> = HashMap::new();
    for roadmap in rows.chunk_by(|a, b| a.roadmap_id == b.roadmap_id) {
        let stages: Vec<&[StageRow]> = roadmap.chunk_by(|a, b| a.stage_id == b.stage_id).collect();
        let counts: Vec<StageCounts> = stages.iter().map(|rows| rows[0].counts()).collect();
        for (index, rows) in stages.into_iter().enumerate() {
            let missing = missing_before(rows[0].is_sequential, &counts, index);
            for row in rows {
                if let (Some(lesson_id), Some(is_required)) = (row.lesson_id, row.is_required) {
                    placements.entry(lesson_id).or_default().push(row.placement(is_required, missing.clone()));
                }
            }
        }
    }
    Ok(placements)
}

/// A stage of a roadmap that contains one of the lessons. A stage that contains several of them has a row for each.
struct StageRow {
    roadmap_id: Uuid,
    roadmap_title: String,
    is_sequential: bool,
    stage_id: Uuid,
    stage_title: String,
    total: i32,
    completed: i32,
    lesson_id: Option<Uuid>,
    is_required: Option<bool>,
}

impl StageRow {
    fn counts(&self) -> StageCounts {
        StageCounts {
            stage_id: self.stage_id,
            title: self.stage_title.clone(),
            lessons_total: self.total,
            lessons_completed: self.completed,
        }
    }

    fn placement(&self, is_required: bool, missing: Vec<StageCounts>) -> LessonPlacement {
        LessonPlacement {
            roadmap_id: self.roadmap_id,
            roadmap_title: self.roadmap_title.clone(),
            stage_id: self.stage_id,
            stage_title: self.stage_title.clone(),
            is_required,
            missing,
        }
    }
}
