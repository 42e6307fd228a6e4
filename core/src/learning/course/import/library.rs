//! Styles, glossary, prompt categories, prompts and their steps.

use std::collections::HashMap;

use serde_json::{Value, json};
use uuid::Uuid;

use super::rows::{
    ExistingRow, ImportError, Importer, Item, TargetRow, assign_rows, changed_parents, ids, ids_by_key, keys,
};
use crate::learning::course::document::Course;

/// Imports the libraries.
pub(super) async fn import(importer: &mut Importer<'_>, course: &Course) -> Result<(), ImportError> {
    styles(importer, course).await?;
    glossary(importer, course).await?;
    let category_ids = categories(importer, course).await?;
    let prompt_rows = prompts(importer, course, &category_ids).await?;
    steps(importer, course, &prompt_rows).await
}

async fn styles(importer: &mut Importer<'_>, course: &Course) -> Result<(), ImportError> {
    let items: Vec<Item<'_>> = course.styles.iter().map(|style| (Uuid::nil(), style.slug.as_str())).collect();
    let existing = sqlx::query_as!(
        ExistingRow,
        r#"SELECT DISTINCT ON (slug) '00000000-0000-0000-0000-000000000000'::uuid AS "parent!", slug::text AS "key!", id,
               position
           FROM style_cards WHERE slug = ANY ($1::text[])
           ORDER BY slug, deleted_at DESC NULLS FIRST, id DESC"#,
        &keys(&items)
    )
    .fetch_all(&mut *importer.connection)
    .await?;
    let targets = assign_rows(&items, &existing, false);
    let rows = course.styles.iter().zip(&targets).map(|(style, target)| {
        json!({
            "id": target.id, "slug": style.slug, "title": style.title, "category": style.category,
            "description": style.description, "prompt": style.prompt, "tags": style.tags,
            "preview_url": style.preview_url, "position": target.position, "publication": style.publication,
        })
    });
    let written = sqlx::query_scalar!(
        "INSERT INTO style_cards AS t (id, slug, title, category, description, prompt, tags, preview_url, position,
                                       publication)
         SELECT id, slug, title, category, description, prompt, tags, preview_url, position, publication
         FROM jsonb_to_recordset($1) AS d (id uuid, slug slug, title text, category style_category, description text,
             prompt text, tags text[], preview_url https_url, position integer, publication publication)
         ON CONFLICT (id) DO UPDATE SET
             title = excluded.title, category = excluded.category, description = excluded.description,
             prompt = excluded.prompt, tags = excluded.tags, preview_url = excluded.preview_url,
             position = excluded.position, publication = excluded.publication, deleted_at = NULL
         WHERE (t.title, t.category, t.description, t.prompt, t.tags, t.preview_url, t.position, t.publication,
                t.deleted_at)
             IS DISTINCT FROM (excluded.title, excluded.category, excluded.description, excluded.prompt, excluded.tags,
                excluded.preview_url, excluded.position, excluded.publication, NULL)
         RETURNING id",
        rows.collect::<Value>()
    )
    .fetch_all(&mut *importer.connection)
    .await?;
    importer.finish_section(&targets, written.len(), 0);
    Ok(())
}

async fn glossary(importer: &mut Importer<'_>, course: &Course) -> Result<(), ImportError> {
    let items: Vec<Item<'_>> = course.glossary.iter().map(|term| (Uuid::nil(), term.slug.as_str())).collect();
    let existing = sqlx::query_as!(
        ExistingRow,
        r#"SELECT DISTINCT ON (slug) '00000000-0000-0000-0000-000000000000'::uuid AS "parent!", slug::text AS "key!", id,
               0 AS "position!"
           FROM glossary_terms WHERE slug = ANY ($1::text[])
           ORDER BY slug, deleted_at DESC NULLS FIRST, id DESC"#,
        &keys(&items)
    )
    .fetch_all(&mut *importer.connection)
    .await?;
    let targets = assign_rows(&items, &existing, false);
    let rows = course.glossary.iter().zip(&targets).map(|(term, target)| {
        json!({
            "id": target.id, "slug": term.slug, "term": term.term, "category": term.category,
            "definition": term.definition, "tags": term.tags, "publication": term.publication,
        })
    });
    let written = sqlx::query_scalar!(
        "INSERT INTO glossary_terms AS t (id, slug, term, category, definition, tags, publication)
         SELECT id, slug, term, category, definition, tags, publication
         FROM jsonb_to_recordset($1) AS d (id uuid, slug slug, term text, category slug, definition text, tags text[],
                                           publication publication)
         ON CONFLICT (id) DO UPDATE SET
             term = excluded.term, category = excluded.category, definition = excluded.definition,
             tags = excluded.tags, publication = excluded.publication, deleted_at = NULL
         WHERE (t.term, t.category, t.definition, t.tags, t.publication, t.deleted_at)
             IS DISTINCT FROM (excluded.term, excluded.category, excluded.definition, excluded.tags,
                excluded.publication, NULL)
         RETURNING id",
        rows.collect::<Value>()
    )
    .fetch_all(&mut *importer.connection)
    .await?;
    importer.finish_section(&targets, written.len(), 0);
    Ok(())
}

async fn categories<'c>(
    importer: &mut Importer<'_>,
    course: &'c Course,
) -> Result<HashMap<&'c str, Uuid>, ImportError> {
    let categories = &course.prompt_categories;
    let items: Vec<Item<'_>> = categories.iter().map(|category| (Uuid::nil(), category.slug.as_str())).collect();
    let existing = sqlx::query_as!(
        ExistingRow,
        r#"SELECT DISTINCT ON (slug) '00000000-0000-0000-0000-000000000000'::uuid AS "parent!", slug::text AS "key!", id,
               position
           FROM prompt_categories WHERE slug = ANY ($1::text[])
           ORDER BY slug, deleted_at DESC NULLS FIRST, id DESC"#,
        &keys(&items)
    )
    .fetch_all(&mut *importer.connection)
    .await?;
    let targets = assign_rows(&items, &existing, false);
    let rows: Value = categories
        .iter()
        .zip(&targets)
        .map(|(category, target)| {
            json!({
                "id": target.id, "slug": category.slug, "name": category.name, "kind": category.kind,
                "color": category.color, "position": target.position,
            })
        })
        .collect();
    // If two categories swap names, a unique index would refuse the first of the two updates, so all names that other
    // categories are about to take are freed first.
    sqlx::query!(
        "UPDATE prompt_categories t SET name = t.id::text
         FROM jsonb_to_recordset($1) AS d (id uuid, name text)
         WHERE d.id = t.id AND t.deleted_at IS NULL AND folded(t.name) <> folded(d.name)
           AND folded(t.name) IN (SELECT folded(name) FROM jsonb_to_recordset($1) AS n (name text))",
        rows
    )
    .execute(&mut *importer.connection)
    .await?;
    let written = sqlx::query_scalar!(
        "INSERT INTO prompt_categories AS t (id, slug, name, kind, color, position)
         SELECT id, slug, name, kind, color, position
         FROM jsonb_to_recordset($1) AS d (id uuid, slug slug, name text, kind prompt_category, color text,
                                           position integer)
         ON CONFLICT (id) DO UPDATE SET
             name = excluded.name, kind = excluded.kind, color = excluded.color, position = excluded.position,
             deleted_at = NULL
         WHERE (t.name, t.kind, t.color, t.position, t.deleted_at)
             IS DISTINCT FROM (excluded.name, excluded.kind, excluded.color, excluded.position, NULL)
         RETURNING id",
        rows
    )
    .fetch_all(&mut *importer.connection)
    .await?;
    importer.finish_section(&targets, written.len(), 0);
    Ok(ids_by_key(&items, &targets))
}

async fn prompts(
    importer: &mut Importer<'_>,
    course: &Course,
    category_ids: &HashMap<&str, Uuid>,
) -> Result<Vec<TargetRow>, ImportError> {
    let items: Vec<Item<'_>> = course.prompts.iter().map(|prompt| (Uuid::nil(), prompt.slug.as_str())).collect();
    let existing = sqlx::query_as!(
        ExistingRow,
        r#"SELECT DISTINCT ON (slug) '00000000-0000-0000-0000-000000000000'::uuid AS "parent!", slug::text AS "key!", id,
               position
           FROM prompts WHERE slug = ANY ($1::text[])
           ORDER BY slug, deleted_at DESC NULLS FIRST, id DESC"#,
        &keys(&items)
    )
    .fetch_all(&mut *importer.connection)
    .await?;
    let targets = assign_rows(&items, &existing, false);
    let rows = course.prompts.iter().zip(&targets).map(|(prompt, target)| {
        json!({
            "id": target.id, "category_id": category_ids.get(prompt.category.as_str()), "slug": prompt.slug,
            "title": prompt.title, "description": prompt.description, "body": prompt.body, "tags": prompt.tags,
            "position": target.position, "publication": prompt.publication,
        })
    });
    let written = sqlx::query_scalar!(
        "INSERT INTO prompts AS t (id, category_id, slug, title, description, body, tags, position, publication)
         SELECT id, category_id, slug, title, description, body, tags, position, publication
         FROM jsonb_to_recordset($1) AS d (id uuid, category_id uuid, slug slug, title text, description text,
             body text, tags text[], position integer, publication publication)
         ON CONFLICT (id) DO UPDATE SET
             category_id = excluded.category_id, title = excluded.title, description = excluded.description,
             body = excluded.body, tags = excluded.tags, position = excluded.position,
             publication = excluded.publication, deleted_at = NULL
         WHERE (t.category_id, t.title, t.description, t.body, t.tags, t.position, t.publication, t.deleted_at)
             IS DISTINCT FROM (excluded.category_id, excluded.title, excluded.description, excluded.body, excluded.tags,
                excluded.position, excluded.publication, NULL)
         RETURNING id",
        rows.collect::<Value>()
    )
    .fetch_all(&mut *importer.connection)
    .await?;
    importer.finish_section(&targets, written.len(), 0);
    Ok(targets)
}

async fn steps(importer: &mut Importer<'_>, course: &Course, parents: &[TargetRow]) -> Result<(), ImportError> {
    let all: Vec<_> = course
        .prompts
        .iter()
        .zip(parents)
        .flat_map(|(prompt, parent)| prompt.steps.iter().zip(1..).map(|(s, n): (_, i32)| (parent.id, n.to_string(), s)))
        .collect();
    let items: Vec<Item<'_>> = all.iter().map(|(prompt_id, number, _)| (*prompt_id, number.as_str())).collect();
    let existing = sqlx::query_as!(
        ExistingRow,
        r#"SELECT prompt_id AS parent, row_number() OVER (PARTITION BY prompt_id ORDER BY position, id)::text AS "key!",
               id, position
           FROM prompt_steps WHERE prompt_id = ANY ($1) AND deleted_at IS NULL"#,
        &ids(parents)
    )
    .fetch_all(&mut *importer.connection)
    .await?;
    let targets = assign_rows(&items, &existing, true);
    let removed = sqlx::query_scalar!(
        "UPDATE prompt_steps t SET deleted_at = now()
         WHERE prompt_id = ANY ($1) AND deleted_at IS NULL
           AND NOT EXISTS (SELECT FROM unnest($2::uuid[]) AS kept (id) WHERE kept.id = t.id)
         RETURNING prompt_id",
        &ids(parents),
        &ids(&targets)
    )
    .fetch_all(&mut *importer.connection)
    .await?;
    let rows = all.iter().zip(&targets).map(|((prompt_id, _, step), target)| {
        json!({
            "id": target.id, "prompt_id": prompt_id, "title": step.title, "body": step.body, "position": target.position,
        })
    });
    let written = sqlx::query_scalar!(
        "INSERT INTO prompt_steps AS t (id, prompt_id, title, body, position)
         SELECT id, prompt_id, title, body, position
         FROM jsonb_to_recordset($1) AS d (id uuid, prompt_id uuid, title text, body text, position integer)
         ON CONFLICT (id) DO UPDATE SET
             title = excluded.title, body = excluded.body, position = excluded.position
         WHERE (t.title, t.body, t.position) IS DISTINCT FROM (excluded.title, excluded.body, excluded.position)
         RETURNING prompt_id",
        rows.collect::<Value>()
    )
    .fetch_all(&mut *importer.connection)
    .await?;
    let changed = changed_parents(parents, &written, &removed);
    sqlx::query!("UPDATE prompts SET version = version + 1 WHERE id = ANY ($1)", &changed)
        .execute(&mut *importer.connection)
        .await?;
    importer.finish_section(&targets, written.len(), removed.len() as u64);
    Ok(())
}
