//! Modules, lessons, materials, tasks.

use std::collections::HashMap;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Found, ImportError, Importer, Item, Place, ids, ids_by_key, keys, settle};
use crate::learning::course::{Course, Lesson};

/// Imports modules and what is in them; returns the lessons' ids by slug.
pub(super) async fn import<'c>(
    importer: &mut Importer<'_>,
    course: &'c Course,
) -> Result<HashMap<&'c str, Uuid>, ImportError> {
    let module_ids = modules(importer, course).await?;
    let homes: Vec<Uuid> = course
        .modules
        .iter()
        .zip(module_ids)
        .flat_map(|(module, id)| std::iter::repeat_n(id, module.lessons.len()))
        .collect();
    let all: Vec<&Lesson> = course.modules.iter().flat_map(|module| &module.lessons).collect();
    let items: Vec<Item<'_>> = homes.into_iter().zip(&all).map(|(home, lesson)| (home, lesson.slug.as_str())).collect();
    let places = lessons(importer, &all, &items).await?;
    materials(importer, &all, &places).await?;
    tasks(importer, &all, &places).await?;
    Ok(ids_by_key(&items, &places))
}

async fn modules(importer: &mut Importer<'_>, course: &Course) -> Result<Vec<Uuid>, ImportError> {
    let items: Vec<Item<'_>> = course.modules.iter().map(|module| (Uuid::nil(), module.slug.as_str())).collect();
    let found = sqlx::query_as!(
        Found,
        r#"SELECT DISTINCT ON (slug) '00000000-0000-0000-0000-000000000000'::uuid AS "parent!", slug::text AS "key!", id,
               position
           FROM course_modules WHERE slug = ANY ($1::text[])
           ORDER BY slug, deleted_at DESC NULLS FIRST, id DESC"#,
        &keys(&items)
    )
    .fetch_all(&mut *importer.connection)
    .await?;
    let places = settle(&items, &found, false);
    let rows = course.modules.iter().zip(&places).map(|(module, place)| {
        json!({
            "id": place.id, "slug": module.slug, "title": module.title, "summary": module.summary,
            "position": place.position, "publication": module.publication,
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
    importer.section(&places, written.len(), 0);
    Ok(ids(&places))
}

async fn lessons(
    importer: &mut Importer<'_>,
    lessons: &[&Lesson],
    items: &[Item<'_>],
) -> Result<Vec<Place>, ImportError> {
    let found = sqlx::query_as!(
        Found,
        r#"SELECT DISTINCT ON (slug) module_id AS parent, slug::text AS "key!", id, position
           FROM lessons WHERE slug = ANY ($1::text[])
           ORDER BY slug, deleted_at DESC NULLS FIRST, id DESC"#,
        &keys(items)
    )
    .fetch_all(&mut *importer.connection)
    .await?;
    let places = settle(items, &found, false);
    let rows = lessons.iter().zip(items).zip(&places).map(|((lesson, (module_id, _)), place)| {
        json!({
            "id": place.id, "module_id": module_id, "slug": lesson.slug, "title": lesson.title,
            "summary": lesson.summary, "body": lesson.body, "video_url": lesson.video_url,
            "duration_minutes": lesson.duration_minutes, "completion": lesson.completion,
            "position": place.position, "publication": lesson.publication,
        })
    });
    let written = sqlx::query_scalar!(
        "INSERT INTO lessons AS t (id, module_id, slug, title, summary, body, video_url, duration_minutes, completion,
                                   position, publication)
         SELECT id, module_id, slug, title, summary, body, video_url, duration_minutes, completion, position, publication
         FROM jsonb_to_recordset($1) AS d (id uuid, module_id uuid, slug slug, title text, summary text, body text,
             video_url https_url, duration_minutes integer, completion completion_rule, position integer,
             publication publication)
         ON CONFLICT (id) DO UPDATE SET
             module_id = excluded.module_id, title = excluded.title, summary = excluded.summary, body = excluded.body,
             video_url = excluded.video_url, duration_minutes = excluded.duration_minutes,
             completion = excluded.completion, position = excluded.position, publication = excluded.publication,
             deleted_at = NULL
         WHERE (t.module_id, t.title, t.summary, t.body, t.video_url, t.duration_minutes, t.completion, t.position,
                t.publication, t.deleted_at)
             IS DISTINCT FROM (excluded.module_id, excluded.title, excluded.summary, excluded.body, excluded.video_url,
                excluded.duration_minutes, excluded.completion, excluded.position, excluded.publication, NULL)
         RETURNING id",
        rows.collect::<Value>()
    )
    .fetch_all(&mut *importer.connection)
    .await?;
    importer.section(&places, written.len(), 0);
    Ok(places)
}

async fn materials(importer: &mut Importer<'_>, lessons: &[&Lesson], homes: &[Place]) -> Result<(), ImportError> {
    let all: Vec<_> = lessons
        .iter()
        .zip(homes)
        .flat_map(|(lesson, home)| lesson.materials.iter().zip(1..).map(|(m, n): (_, i32)| (home.id, n.to_string(), m)))
        .collect();
    let items: Vec<Item<'_>> = all.iter().map(|(lesson_id, number, _)| (*lesson_id, number.as_str())).collect();
    let found = sqlx::query_as!(
        Found,
        r#"SELECT lesson_id AS parent, row_number() OVER (PARTITION BY lesson_id ORDER BY position, id)::text AS "key!",
               id, position
           FROM lesson_materials WHERE lesson_id = ANY ($1) AND deleted_at IS NULL"#,
        &ids(homes)
    )
    .fetch_all(&mut *importer.connection)
    .await?;
    let places = settle(&items, &found, true);
    let removed = sqlx::query!(
        "UPDATE lesson_materials t SET deleted_at = now()
         WHERE lesson_id = ANY ($1) AND deleted_at IS NULL
           AND NOT EXISTS (SELECT FROM unnest($2::uuid[]) AS kept (id) WHERE kept.id = t.id)",
        &ids(homes),
        &ids(&places)
    )
    .execute(&mut *importer.connection)
    .await?;
    let rows = all.iter().zip(&places).map(|((lesson_id, _, material), place)| {
        json!({
            "id": place.id, "lesson_id": lesson_id, "kind": material.kind, "title": material.title,
            "url": material.url, "position": place.position,
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
         RETURNING id",
        rows.collect::<Value>()
    )
    .fetch_all(&mut *importer.connection)
    .await?;
    importer.section(&places, written.len(), removed.rows_affected());
    Ok(())
}

async fn tasks(importer: &mut Importer<'_>, lessons: &[&Lesson], homes: &[Place]) -> Result<(), ImportError> {
    let all: Vec<_> =
        lessons.iter().zip(homes).flat_map(|(lesson, home)| lesson.tasks.iter().map(|task| (home.id, task))).collect();
    let items: Vec<Item<'_>> = all.iter().map(|(lesson_id, task)| (*lesson_id, task.slug.as_str())).collect();
    let found = sqlx::query_as!(
        Found,
        r#"SELECT DISTINCT ON (lesson_id, slug) lesson_id AS parent, slug::text AS "key!", id, position
           FROM lesson_tasks WHERE lesson_id = ANY ($1)
           ORDER BY lesson_id, slug, deleted_at DESC NULLS FIRST, id DESC"#,
        &ids(homes)
    )
    .fetch_all(&mut *importer.connection)
    .await?;
    let places = settle(&items, &found, true);
    let removed = sqlx::query!(
        "UPDATE lesson_tasks t SET deleted_at = now()
         WHERE lesson_id = ANY ($1) AND deleted_at IS NULL
           AND NOT EXISTS (SELECT FROM unnest($2::uuid[]) AS kept (id) WHERE kept.id = t.id)",
        &ids(homes),
        &ids(&places)
    )
    .execute(&mut *importer.connection)
    .await?;
    let rows = all.iter().zip(&places).map(|((lesson_id, task), place)| {
        json!({
            "id": place.id, "lesson_id": lesson_id, "slug": task.slug, "title": task.title,
            "description": task.description, "is_required": task.required, "position": place.position,
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
         RETURNING id",
        rows.collect::<Value>()
    )
    .fetch_all(&mut *importer.connection)
    .await?;
    importer.section(&places, written.len(), removed.rows_affected());
    Ok(())
}
