//! Lessons and roadmaps as learners will see them, drafts included, with everything open and nothing done yet.

use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::catalog::Roadmap;
use super::content;
use super::course::CompletionRule;
use super::lessons::{Lesson, Material, Task};
use super::locks::LessonPlacement;
use super::rules::LessonStatus;
use super::tree::{Stage, StageLesson};
use crate::Result;
use crate::noun::Noun;
use crate::refusal::{NotFound, OrRefuse, Rejected};

/// A lesson that is not deleted, as learners will see it.
pub async fn lesson(connection: &mut PgConnection, id: Uuid) -> Result<Lesson, Rejected<NotFound>> {
    let lesson = content::lessons::find(connection, id).await?;
    let lesson = Some(lesson).filter(|lesson| lesson.deleted_at.is_none()).or_not_found(Noun::Lesson)?;
    let module = content::modules::find(connection, lesson.module_id).await?;
    let materials = lesson.materials.into_iter();
    let tasks = lesson.tasks.into_iter();
    Ok(Lesson {
        id: lesson.id,
        slug: lesson.slug,
        title: lesson.title,
        summary: lesson.summary,
        duration_minutes: lesson.duration_minutes,
        completion: lesson.completion,
        module_id: module.id,
        module_title: module.title,
        fact: None,
        placements: placements(connection, id).await?,
        is_locked: false,
        body: Some(lesson.body),
        video_url: lesson.video_url,
        materials: materials.map(|m| Material { id: m.id, kind: m.kind, title: m.title, url: m.url }).collect(),
        tasks: tasks
            .map(|task| Task {
                id: task.id,
                slug: task.slug,
                title: task.title,
                description: task.description,
                is_required: task.is_required,
                checked_at: None,
            })
            .collect(),
    })
}

/// The stages that contain the lesson and are not deleted.
async fn placements(connection: &mut PgConnection, lesson_id: Uuid) -> Result<Vec<LessonPlacement>> {
    let rows = sqlx::query!(
        "SELECT r.id AS roadmap_id, r.title AS roadmap_title, s.id AS stage_id, s.title AS stage_title, sl.is_required
         FROM stage_lessons sl JOIN stages s ON s.id = sl.stage_id JOIN roadmaps r ON r.id = s.roadmap_id
         WHERE sl.lesson_id = $1 AND s.deleted_at IS NULL AND r.deleted_at IS NULL
         ORDER BY r.position, r.id, s.position, s.id",
        lesson_id
    );
    let rows = rows.fetch_all(connection).await?.into_iter();
    let placements = rows.map(|row| LessonPlacement {
        roadmap_id: row.roadmap_id,
        roadmap_title: row.roadmap_title,
        stage_id: row.stage_id,
        stage_title: row.stage_title,
        is_required: row.is_required,
        missing: Vec::new(),
    });
    Ok(placements.collect())
}

/// A roadmap that is not deleted with its stages and lessons, as learners will see it.
pub async fn roadmap(
    connection: &mut PgConnection,
    id: Uuid,
) -> Result<(Roadmap, Vec<Stage>, Vec<StageLesson>), Rejected<NotFound>> {
    let roadmap = content::roadmaps::find(connection, id).await?;
    let roadmap = Some(roadmap).filter(|roadmap| roadmap.deleted_at.is_none()).or_not_found(Noun::Roadmap)?;
    let lessons = lessons(connection, id).await?;
    let mut required: HashMap<Uuid, i32> = HashMap::new();
    for lesson in lessons.iter().filter(|lesson| lesson.is_required) {
        *required.entry(lesson.stage_id).or_default() += 1;
    }
    let stages = content::stages::list_live(connection, id).await?.into_iter();
    let stages: Vec<Stage> = stages
        .map(|stage| {
            let lessons_total = required.get(&stage.id).copied().unwrap_or_default();
            Stage {
                id: stage.id,
                slug: stage.slug,
                title: stage.title,
                summary: stage.summary,
                status: LessonStatus::Available,
                percent: (lessons_total > 0).then_some(0),
                lessons_total,
                lessons_completed: 0,
                completed_at: None,
                achieved_at: None,
                missing: Vec::new(),
            }
        })
        .collect();
    let lessons_total: i32 = stages.iter().map(|stage| stage.lessons_total).sum();
    let stages_total = stages.iter().filter(|stage| stage.lessons_total > 0).count();
    let roadmap = Roadmap {
        id: roadmap.id,
        slug: roadmap.slug,
        title: roadmap.title,
        summary: roadmap.summary,
        is_sequential: roadmap.is_sequential,
        position: roadmap.position,
        status: LessonStatus::Available,
        percent: (lessons_total > 0).then_some(0),
        lessons_total,
        lessons_completed: 0,
        stages_total: stages_total.try_into().unwrap_or(i32::MAX),
        stages_completed: 0,
        completed_at: None,
        achieved_at: None,
        seq: 0,
        is_current: true,
        is_recalculating: false,
        is_stored: false,
    };
    Ok((roadmap, stages, lessons))
}

/// The lessons of all stages of the roadmap, without those that are deleted or whose module is.
async fn lessons(connection: &mut PgConnection, roadmap_id: Uuid) -> Result<Vec<StageLesson>> {
    let rows = sqlx::query!(
        r#"SELECT sl.stage_id, sl.is_required, l.id, l.slug AS "slug: String", l.title, l.summary, l.duration_minutes,
               l.completion AS "completion: CompletionRule"
           FROM stages s
           JOIN stage_lessons sl ON sl.stage_id = s.id
           JOIN lessons l ON l.id = sl.lesson_id
           JOIN course_modules m ON m.id = l.module_id
           WHERE s.roadmap_id = $1 AND s.deleted_at IS NULL AND l.deleted_at IS NULL AND m.deleted_at IS NULL
           ORDER BY s.position, s.id, sl.position, l.id"#,
        roadmap_id
    );
    let rows = rows.fetch_all(connection).await?.into_iter();
    let lessons = rows.map(|row| StageLesson {
        stage_id: row.stage_id,
        is_required: row.is_required,
        id: row.id,
        slug: row.slug,
        title: row.title,
        summary: row.summary,
        duration_minutes: row.duration_minutes,
        completion: row.completion,
        fact: None,
        is_locked: false,
    });
    Ok(lessons.collect())
}
