//! Modules, lessons, materials, tasks.

use std::collections::HashMap;

use serde_json::{Value, json};
use uuid::Uuid;

use super::rows::{
    ExistingRow, ImportError, Importer, Item, TargetRow, assign_rows, changed_parents, ids, ids_by_key, keys,
};
use crate::learning::course::document::{Course, Lesson};

/// Imports modules with their lessons, materials and tasks. Returns the ids of the lessons by slug.
pub(super) async fn import<'c>(
    importer: &mut Importer<'_>,
    course: &'c Course,
) -> Result<HashMap<&'c str, Uuid>, ImportError> {
    let module_ids = modules(importer, course).await?;
    let parents: Vec<Uuid> = course
        .modules
        .iter()
        .zip(module_ids)
        .flat_map(|(module, id)| std::iter::repeat_n(id, module.lessons.len()))
        .collect();
    let all: Vec<&Lesson> = course.modules.iter().flat_map(|module| &module.lessons).collect();
    let items: Vec<Item<'_>> =
        parents.into_iter().zip(&all).map(|(parent, lesson)| (parent, lesson.slug.as_str())).collect();
    let targets = lessons(importer, &all, &items).await?;
    materials(importer, &all, &targets).await?;
    tasks(importer, &all, &targets).await?;
    Ok(ids_by_key(&items, &targets))
}

async fn modules(importer: &mut Importer<'_>, course: &Course) -> Result<Vec<Uuid>, ImportError> {
    let items: Vec<Item<'_>> = course.modules.iter().map(|module| (Uuid::nil(), module.slug.as_str())).collect();
    let existing = sqlx::query_as!(
        ExistingRow,
        r#"SELECT DISTINCT ON (slug) '00000000-0000-0000-0000-000000000000'::uuid AS "parent!", slug::text AS "key!", id,
               position
           FROM course_modules WHERE slug = ANY ($1::text[])
           ORDER BY slug, deleted_at DESC NULLS FIRST, id DESC"#,
        &keys(&items)
    )
    .fetch_all(&mut *importer.connection)
    .await?;
    let targets = assign_rows(&items, &existing, false);
    let rows = course.modules.iter().zip(&targets).map(|(module, target)| {
        json!({
            "id": target.id, "slug": module.slug, "title": module.title, "summary": module.summary,
            "position": target.position, "publication": module.publication,
        })
    });
    let written = sqlx::query_scalar!(
        "INSERT INTO course_modules AS t (id, slug, title, summary, position, publication)
         SELECT id, slug, title, summary, position, publication
         FROM jsonb_to_recordset($1) AS d (id uuid, slug slug, title text, summary text, position integer,
                                           publication publication)
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
    importer.finish_section(&targets, written.len(), 0);
    Ok(ids(&targets))
}

async fn lessons(
    importer: &mut Importer<'_>,
    lessons: &[&Lesson],
    items: &[Item<'_>],
) -> Result<Vec<TargetRow>, ImportError> {
    let existing = sqlx::query_as!(
        ExistingRow,
        r#"SELECT DISTINCT ON (slug) module_id AS parent, slug::text AS "key!", id, position
           FROM lessons WHERE slug = ANY ($1::text[])
           ORDER BY slug, deleted_at DESC NULLS FIRST, id DESC"#,
        &keys(items)
    )
    .fetch_all(&mut *importer.connection)
    .await?;
    let targets = assign_rows(items, &existing, false);
    let rows = lessons.iter().zip(items).zip(&targets).map(|((lesson, (module_id, _)), target)| {
        json!({
            "id": target.id, "module_id": module_id, "slug": lesson.slug, "title": lesson.title,
            "summary": lesson.summary, "body": lesson.body, "questions": lesson.questions, "video_url": lesson.video_url,
            "duration_minutes": lesson.duration_minutes, "completion": lesson.completion,
            "position": target.position, "publication": lesson.publication,
        })
    });
    let written = sqlx::query_scalar!(
        "INSERT INTO lessons AS t (id, module_id, slug, title, summary, body, questions, video_url, duration_minutes,
                                   completion, position, publication)
         SELECT id, module_id, slug, title, summary, body, questions, video_url, duration_minutes, completion, position,
             publication
         FROM jsonb_to_recordset($1) AS d (id uuid, module_id uuid, slug slug, title text, summary text, body text,
             questions text[], video_url https_url, duration_minutes integer, completion completion_rule, position integer,
             publication publication)
         ON CONFLICT (id) DO UPDATE SET
             module_id = excluded.module_id, title = excluded.title, summary = excluded.summary, body = excluded.body,
             questions = excluded.questions, video_url = excluded.video_url, duration_minutes = excluded.duration_minutes,
             completion = excluded.completion, position = excluded.position, publication = excluded.publication,
             deleted_at = NULL
         WHERE (t.module_id, t.title, t.summary, t.body, t.questions, t.video_url, t.duration_minutes, t.completion,
                t.position, t.publication, t.deleted_at)
             IS DISTINCT FROM (excluded.module_id, excluded.title, excluded.summary, excluded.body, excluded.questions,
                excluded.video_url, excluded.duration_minutes, excluded.completion, excluded.position, excluded.publication, NULL)
         RETURNING id",
        rows.collect::<Value>()
    )
    .fetch_all(&mut *importer.connection)
    .await?;
    importer.finish_section(&targets, written.len(), 0);
    Ok(targets)
}

async fn materials(importer: &mut Importer<'_>, lessons: &[&Lesson], parents: &[TargetRow]) -> Result<(), ImportError> {
    let all: Vec<_> = lessons
        .iter()
        .zip(parents)
        .flat_map(|(lesson, parent)| {
            lesson.materials.iter().zip(1..).map(|(m, n): (_, i32)| (parent.id, n.to_string(), m))
        })
        .collect();
    let items: Vec<Item<'_>> = all.iter().map(|(lesson_id, number, _)| (*lesson_id, number.as_str())).collect();
    let existing = sqlx::query_as!(
        ExistingRow,
        r#"SELECT lesson_id AS parent, row_number() OVER (PARTITION BY lesson_id ORDER BY position, id)::text AS "key!",
               id, position
           FROM lesson_materials WHERE lesson_id = ANY ($1) AND deleted_at IS NULL"#,
        &ids(parents)
    )
    .fetch_all(&mut *importer.connection)
    .await?;
    let targets = assign_rows(&items, &existing, true);
    let removed = sqlx::query_scalar!(
        "UPDATE lesson_materials t SET deleted_at = now()
         WHERE lesson_id = ANY ($1) AND deleted_at IS NULL
           AND NOT EXISTS (SELECT FROM unnest($2::uuid[]) AS kept (id) WHERE kept.id = t.id)
         RETURNING lesson_id",
        &ids(parents),
        &ids(&targets)
    )
    .fetch_all(&mut *importer.connection)
    .await?;
    let rows = all.iter().zip(&targets).map(|((lesson_id, _, material), target)| {
        json!({
            "id": target.id, "lesson_id": lesson_id, "kind": material.kind, "title": material.title,
            "url": material.url, "position": target.position,
        })
    });
    let written = sqlx::query_scalar!(
        "INSERT INTO lesson_materials AS t (id, lesson_id, kind, title, url, position)
         SELECT id, lesson_id, kind, title, url, position
         FROM jsonb_to_recordset($1) AS d (id uuid, lesson_id uuid, kind material_kind, title text, url https_url,
                                           position integer)
         ON CONFLICT (id) DO UPDATE SET
             kind = excluded.kind, title = excluded.title, url = excluded.url, position = excluded.position
         WHERE (t.kind, t.title, t.url, t.position)
             IS DISTINCT FROM (excluded.kind, excluded.title, excluded.url, excluded.position)
         RETURNING lesson_id",
        rows.collect::<Value>()
    )
    .fetch_all(&mut *importer.connection)
    .await?;
    raise_versions(importer, &changed_parents(parents, &written, &removed)).await?;
    importer.finish_section(&targets, written.len(), removed.len() as u64);
    Ok(())
}

async fn tasks(importer: &mut Importer<'_>, lessons: &[&Lesson], parents: &[TargetRow]) -> Result<(), ImportError> {
    let all: Vec<_> = lessons
        .iter()
        .zip(parents)
        .flat_map(|(lesson, parent)| lesson.tasks.iter().map(|task| (parent.id, task)))
        .collect();
    let items: Vec<Item<'_>> = all.iter().map(|(lesson_id, task)| (*lesson_id, task.slug.as_str())).collect();
    let existing = sqlx::query_as!(
        ExistingRow,
        r#"SELECT DISTINCT ON (lesson_id, slug) lesson_id AS parent, slug::text AS "key!", id, position
           FROM lesson_tasks WHERE lesson_id = ANY ($1)
           ORDER BY lesson_id, slug, deleted_at DESC NULLS FIRST, id DESC"#,
        &ids(parents)
    )
    .fetch_all(&mut *importer.connection)
    .await?;
    let targets = assign_rows(&items, &existing, true);
    let removed = sqlx::query_scalar!(
        "UPDATE lesson_tasks t SET deleted_at = now()
         WHERE lesson_id = ANY ($1) AND deleted_at IS NULL
           AND NOT EXISTS (SELECT FROM unnest($2::uuid[]) AS kept (id) WHERE kept.id = t.id)
         RETURNING lesson_id",
        &ids(parents),
        &ids(&targets)
    )
    .fetch_all(&mut *importer.connection)
    .await?;
    let rows = all.iter().zip(&targets).map(|((lesson_id, task), target)| {
        json!({
            "id": target.id, "lesson_id": lesson_id, "slug": task.slug, "title": task.title,
            "description": task.description, "is_required": task.required, "position": target.position,
        })
    });
    let written = sqlx::query_scalar!(
        "INSERT INTO lesson_tasks AS t (id, lesson_id, slug, title, description, is_required, position)
         SELECT id, lesson_id, slug, title, description, is_required, position
         FROM jsonb_to_recordset($1) AS d (id uuid, lesson_id uuid, slug slug, title text, description text,
                                           is_required boolean, position integer)
         ON CONFLICT (id) DO UPDATE SET
             title = excluded.title, description = excluded.description, is_required = excluded.is_required,
             position = excluded.position, deleted_at = NULL
         WHERE (t.title, t.description, t.is_required, t.position, t.deleted_at)
             IS DISTINCT FROM (excluded.title, excluded.description, excluded.is_required, excluded.position, NULL)
         RETURNING lesson_id",
        rows.collect::<Value>()
    )
    .fetch_all(&mut *importer.connection)
    .await?;
    raise_versions(importer, &changed_parents(parents, &written, &removed)).await?;
    importer.finish_section(&targets, written.len(), removed.len() as u64);
    Ok(())
}

/// Raises the versions of lessons of which a material or a task changed.
async fn raise_versions(importer: &mut Importer<'_>, lesson_ids: &[Uuid]) -> Result<(), ImportError> {
    sqlx::query!("UPDATE lessons SET version = version + 1 WHERE id = ANY ($1)", lesson_ids)
        .execute(&mut *importer.connection)
        .await?;
    Ok(())
}
