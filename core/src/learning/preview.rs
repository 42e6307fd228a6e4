//! Lessons and roadmaps as learners will see them, drafts included, with everything open and nothing done yet.

use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::content;
use super::course::CompletionRule;
use super::lessons::{Lesson, Material, Task};
use super::locks::LessonPlacement;
use super::tree::{Content, Stage, StageLesson};
use super::tree_progress::Progress;
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
pub async fn roadmap(connection: &mut PgConnection, id: Uuid) -> Result<(Content, Progress), Rejected<NotFound>> {
    let roadmap = content::roadmaps::find(connection, id).await?;
    let roadmap = Some(roadmap).filter(|roadmap| roadmap.deleted_at.is_none()).or_not_found(Noun::Roadmap)?;
    let mut lessons = lessons(connection, id).await?;
    let stages = content::stages::list_live(connection, id).await?.into_iter();
    let stages = stages.map(|stage| Stage {
        lessons: lessons.remove(&stage.id).unwrap_or_default(),
        id: stage.id,
        slug: stage.slug,
        title: stage.title,
        summary: stage.summary,
    });
    let content = Content {
        id: roadmap.id,
        slug: roadmap.slug,
        title: roadmap.title,
        summary: roadmap.summary,
        is_sequential: roadmap.is_sequential,
        stages: stages.collect(),
        version: 0,
        snapshot: String::new(),
    };
    let progress = Progress::of_nobody(&content);
    Ok((content, progress))
}

/// The lessons of each stage of the roadmap, without those that are deleted or whose module is.
async fn lessons(connection: &mut PgConnection, roadmap_id: Uuid) -> Result<HashMap<Uuid, Vec<StageLesson>>> {
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
    let mut lessons: HashMap<Uuid, Vec<StageLesson>> = HashMap::new();
    for row in rows.fetch_all(connection).await? {
        lessons.entry(row.stage_id).or_default().push(StageLesson {
            id: row.id,
            slug: row.slug,
            title: row.title,
            summary: row.summary,
            duration_minutes: row.duration_minutes,
            completion: row.completion,
            is_required: row.is_required,
            is_elsewhere: false,
        });
    }
    Ok(lessons)
}
