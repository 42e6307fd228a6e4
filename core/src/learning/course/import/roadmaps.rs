//! Roadmaps, stages, and the lessons in them.

use std::collections::HashMap;

use serde_json::{Value, json};
use uuid::Uuid;

use super::rows::{ExistingRow, ImportError, Importer, Item, TargetRow, assign_rows, changed_parents, ids, keys};
use crate::learning::course::document::{Course, Stage};

/// Imports roadmaps with their stages. `lesson_ids` has the id of every lesson of the document by its slug.
pub(super) async fn import(
    importer: &mut Importer<'_>,
    course: &Course,
    lesson_ids: &HashMap<&str, Uuid>,
) -> Result<(), ImportError> {
    let targets = roadmaps(importer, course).await?;
    let all: Vec<(Uuid, &Stage)> = course
        .roadmaps
        .iter()
        .zip(&targets)
        .flat_map(|(roadmap, target)| roadmap.stages.iter().map(|stage| (target.id, stage)))
        .collect();
    let stage_rows = stages(importer, &all, &ids(&targets)).await?;
    stage_lessons(importer, &all, &stage_rows, lesson_ids).await
}

async fn roadmaps(importer: &mut Importer<'_>, course: &Course) -> Result<Vec<TargetRow>, ImportError> {
    let items: Vec<Item<'_>> = course.roadmaps.iter().map(|roadmap| (Uuid::nil(), roadmap.slug.as_str())).collect();
    let existing = sqlx::query_as!(
        ExistingRow,
        r#"SELECT DISTINCT ON (slug) '00000000-0000-0000-0000-000000000000'::uuid AS "parent!", slug::text AS "key!", id,
               position
           FROM roadmaps WHERE slug = ANY ($1::text[])
           ORDER BY slug, deleted_at DESC NULLS FIRST, id DESC"#,
        &keys(&items)
    )
    .fetch_all(&mut *importer.connection)
    .await?;
    let targets = assign_rows(&items, &existing, false);
    let rows = course.roadmaps.iter().zip(&targets).map(|(roadmap, target)| {
        json!({
            "id": target.id, "slug": roadmap.slug, "title": roadmap.title, "summary": roadmap.summary,
            "is_sequential": roadmap.sequential, "position": target.position, "publication": roadmap.publication,
        })
    });
    let written = sqlx::query_scalar!(
        "INSERT INTO roadmaps AS t (id, slug, title, summary, is_sequential, position, publication)
         SELECT id, slug, title, summary, is_sequential, position, publication
         FROM jsonb_to_recordset($1) AS d (id uuid, slug slug, title text, summary text, is_sequential boolean,
                                           position integer, publication publication)
         ON CONFLICT (id) DO UPDATE SET
             title = excluded.title, summary = excluded.summary, is_sequential = excluded.is_sequential,
             position = excluded.position, publication = excluded.publication, deleted_at = NULL
         WHERE (t.title, t.summary, t.is_sequential, t.position, t.publication, t.deleted_at)
             IS DISTINCT FROM (excluded.title, excluded.summary, excluded.is_sequential, excluded.position,
                               excluded.publication, NULL)
         RETURNING id",
        rows.collect::<Value>()
    )
    .fetch_all(&mut *importer.connection)
    .await?;
    importer.finish_section(&targets, written.len(), 0);
    Ok(targets)
}

async fn stages(
    importer: &mut Importer<'_>,
    all: &[(Uuid, &Stage)],
    roadmap_ids: &[Uuid],
) -> Result<Vec<TargetRow>, ImportError> {
    let items: Vec<Item<'_>> = all.iter().map(|(roadmap_id, stage)| (*roadmap_id, stage.slug.as_str())).collect();
    let existing = sqlx::query_as!(
        ExistingRow,
        r#"SELECT DISTINCT ON (roadmap_id, slug) roadmap_id AS parent, slug::text AS "key!", id, position
           FROM stages WHERE roadmap_id = ANY ($1)
           ORDER BY roadmap_id, slug, deleted_at DESC NULLS FIRST, id DESC"#,
        roadmap_ids
    )
    .fetch_all(&mut *importer.connection)
    .await?;
    let targets = assign_rows(&items, &existing, true);
    let removed = sqlx::query!(
        "UPDATE stages t SET deleted_at = now()
         WHERE roadmap_id = ANY ($1) AND deleted_at IS NULL
           AND NOT EXISTS (SELECT FROM unnest($2::uuid[]) AS kept (id) WHERE kept.id = t.id)",
        roadmap_ids,
        &ids(&targets)
    )
    .execute(&mut *importer.connection)
    .await?;
    let rows = all.iter().zip(&targets).map(|((roadmap_id, stage), target)| {
        json!({
            "id": target.id, "roadmap_id": roadmap_id, "slug": stage.slug, "title": stage.title,
            "summary": stage.summary, "position": target.position, "publication": stage.publication,
        })
    });
    let written = sqlx::query_scalar!(
        "INSERT INTO stages AS t (id, roadmap_id, slug, title, summary, position, publication)
         SELECT id, roadmap_id, slug, title, summary, position, publication
         FROM jsonb_to_recordset($1) AS d (id uuid, roadmap_id uuid, slug slug, title text, summary text,
                                           position integer, publication publication)
         ON CONFLICT (id) DO UPDATE SET
             title = excluded.title, summary = excluded.summary, position = excluded.position,
             publication = excluded.publication, deleted_at = NULL
         WHERE (t.title, t.summary, t.position, t.publication, t.deleted_at)
             IS DISTINCT FROM (excluded.title, excluded.summary, excluded.position, excluded.publication, NULL)
         RETURNING id",
        rows.collect::<Value>()
    )
    .fetch_all(&mut *importer.connection)
    .await?;
    importer.finish_section(&targets, written.len(), removed.rows_affected());
    Ok(targets)
}

async fn stage_lessons(
    importer: &mut Importer<'_>,
    stages: &[(Uuid, &Stage)],
    parents: &[TargetRow],
    lesson_ids: &HashMap<&str, Uuid>,
) -> Result<(), ImportError> {
    let all: Vec<_> = stages
        .iter()
        .zip(parents)
        .flat_map(|((_, stage), parent)| stage.lessons.iter().map(|lesson| (parent.id, lesson)))
        .collect();
    let items: Vec<Item<'_>> = all.iter().map(|(stage_id, lesson)| (*stage_id, lesson.lesson.as_str())).collect();
    let linked: Vec<Uuid> = all.iter().filter_map(|(_, l)| lesson_ids.get(l.lesson.as_str()).copied()).collect();
    // No document contains a deleted lesson or a lesson of a deleted module. Its placement is kept in case it is restored.
    let existing = sqlx::query_as!(
        ExistingRow,
        r#"SELECT sl.stage_id AS parent, l.slug::text AS "key!", l.id, sl.position
           FROM stage_lessons sl
           JOIN lessons l ON l.id = sl.lesson_id
           JOIN course_modules m ON m.id = l.module_id
           WHERE sl.stage_id = ANY ($1) AND l.deleted_at IS NULL AND m.deleted_at IS NULL"#,
        &ids(parents)
    )
    .fetch_all(&mut *importer.connection)
    .await?;
    let targets = assign_rows(&items, &existing, true);
    let stage_ids: Vec<Uuid> = all.iter().map(|(stage_id, _)| *stage_id).collect();
    let removed = sqlx::query_scalar!(
        "DELETE FROM stage_lessons sl USING lessons l, course_modules m
         WHERE sl.stage_id = ANY ($1) AND l.id = sl.lesson_id AND m.id = l.module_id
           AND l.deleted_at IS NULL AND m.deleted_at IS NULL
           AND NOT EXISTS (SELECT FROM unnest($2::uuid[], $3::uuid[]) AS kept (stage_id, lesson_id)
                           WHERE kept.stage_id = sl.stage_id AND kept.lesson_id = sl.lesson_id)
         RETURNING sl.stage_id",
        &ids(parents),
        &stage_ids,
        &linked
    )
    .fetch_all(&mut *importer.connection)
    .await?;
    let rows = all.iter().zip(&linked).zip(&targets).map(|(((stage_id, lesson), lesson_id), target)| {
        json!({
            "stage_id": stage_id, "lesson_id": lesson_id, "position": target.position, "is_required": lesson.required,
        })
    });
    let written = sqlx::query_scalar!(
        "INSERT INTO stage_lessons AS t (stage_id, lesson_id, position, is_required)
         SELECT stage_id, lesson_id, position, is_required
         FROM jsonb_to_recordset($1) AS d (stage_id uuid, lesson_id uuid, position integer, is_required boolean)
         ON CONFLICT (stage_id, lesson_id) DO UPDATE SET
             position = excluded.position, is_required = excluded.is_required
         WHERE (t.position, t.is_required) IS DISTINCT FROM (excluded.position, excluded.is_required)
         RETURNING stage_id",
        rows.collect::<Value>()
    )
    .fetch_all(&mut *importer.connection)
    .await?;
    let changed = changed_parents(parents, &written, &removed);
    sqlx::query!("UPDATE stages SET version = version + 1 WHERE id = ANY ($1)", &changed)
        .execute(&mut *importer.connection)
        .await?;
    importer.finish_section(&targets, written.len(), removed.len() as u64);
    Ok(())
}
