//! Writes the content of the database as a document.

use std::collections::HashMap;
use std::fmt::Write;
use std::hash::Hash;

use sqlx::{Connection, PgConnection, PgPool};
use uuid::Uuid;

use super::document::{
    CompletionRule, Course, Lesson, Material, MaterialKind, Module, Roadmap, Stage, StageLesson, Task,
};
use super::library::{Prompt, PromptCategory, PromptStep, Style, Term};
use super::values::Publication;
use crate::{Result, db};

/// Exports in a snapshot of its own, so that the document is consistent.
pub async fn export_snapshot(pool: &PgPool) -> Result<Course> {
    let mut connection = db::acquire(pool).await?;
    let mut snapshot = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
    let course = export(&mut snapshot).await?;
    snapshot.rollback().await?;
    Ok(course)
}

/// Exports everything that is not deleted, including drafts and archived objects. Importing the document into the same
/// database changes nothing.
pub async fn export(connection: &mut PgConnection) -> Result<Course> {
    Ok(Course {
        schema: None,
        version: 1,
        modules: modules(connection).await?,
        roadmaps: roadmaps(connection).await?,
        styles: styles(connection).await?,
        glossary: glossary(connection).await?,
        prompt_categories: prompt_categories(connection).await?,
        prompts: prompts(connection).await?,
    })
}

/// Formats a document as YAML.
pub fn to_yaml(course: &Course) -> Result<String> {
    let options = serde_saphyr::ser_options! {
        // Long lines are not folded, because reading them back might not restore the exact text.
        folded_wrap_chars: usize::MAX,
    };
    serde_saphyr::to_string_with_options(course, options).map_err(|error| crate::Error::message(error.to_string()))
}

/// Formats a document as JSON. Characters that readers of YAML refuse are escaped, as JSON allows, and so are those that
/// terminals obey.
pub fn to_json(course: &Course) -> Result<String> {
    let text = format!("{:#}\n", serde_json::to_value(course)?);
    let is_escaped =
        |c: char| matches!(c, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}');
    // Outside of strings there are none of them.
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if is_escaped(character) {
            let _ = write!(escaped, "\\u{:04x}", u32::from(character));
        } else {
            escaped.push(character);
        }
    }
    Ok(escaped)
}

/// Groups values by their key and keeps their order.
fn grouped<K: Eq + Hash, V>(rows: impl IntoIterator<Item = (K, V)>) -> HashMap<K, Vec<V>> {
    let mut groups: HashMap<K, Vec<V>> = HashMap::new();
    for (key, value) in rows {
        groups.entry(key).or_default().push(value);
    }
    groups
}

async fn modules(connection: &mut PgConnection) -> Result<Vec<Module>> {
    let mut lessons = lessons(connection).await?;
    let rows = sqlx::query!(
        r#"SELECT id, slug::text AS "slug!", title, summary, publication AS "publication: Publication"
           FROM course_modules WHERE deleted_at IS NULL ORDER BY position, id"#
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Module {
            slug: row.slug,
            title: row.title,
            summary: row.summary,
            publication: row.publication,
            lessons: lessons.remove(&row.id).unwrap_or_default(),
        })
        .collect())
}

/// The lessons of each module.
async fn lessons(connection: &mut PgConnection) -> Result<HashMap<Uuid, Vec<Lesson>>> {
    let mut materials = materials(connection).await?;
    let mut tasks = tasks(connection).await?;
    let rows = sqlx::query!(
        r#"SELECT id, module_id, slug::text AS "slug!", title, summary, body, questions, video_url::text,
               duration_minutes, completion AS "completion: CompletionRule", publication AS "publication: Publication"
           FROM lessons WHERE deleted_at IS NULL ORDER BY position, id"#
    )
    .fetch_all(connection)
    .await?;
    Ok(grouped(rows.into_iter().map(|row| {
        let lesson = Lesson {
            slug: row.slug,
            title: row.title,
            summary: row.summary,
            publication: row.publication,
            duration_minutes: row.duration_minutes,
            completion: row.completion,
            video_url: row.video_url,
            body: row.body,
            questions: row.questions,
            materials: materials.remove(&row.id).unwrap_or_default(),
            tasks: tasks.remove(&row.id).unwrap_or_default(),
        };
        (row.module_id, lesson)
    })))
}

/// The materials of each lesson.
async fn materials(connection: &mut PgConnection) -> Result<HashMap<Uuid, Vec<Material>>> {
    let rows = sqlx::query!(
        r#"SELECT lesson_id, kind AS "kind: MaterialKind", title, url::text AS "url!"
           FROM lesson_materials WHERE deleted_at IS NULL ORDER BY position, id"#
    )
    .fetch_all(connection)
    .await?;
    Ok(grouped(
        rows.into_iter().map(|row| (row.lesson_id, Material { kind: row.kind, title: row.title, url: row.url })),
    ))
}

/// The tasks of each lesson.
async fn tasks(connection: &mut PgConnection) -> Result<HashMap<Uuid, Vec<Task>>> {
    let rows = sqlx::query!(
        r#"SELECT lesson_id, slug::text AS "slug!", title, description, is_required
           FROM lesson_tasks WHERE deleted_at IS NULL ORDER BY position, id"#
    )
    .fetch_all(connection)
    .await?;
    Ok(grouped(rows.into_iter().map(|row| {
        let task = Task { slug: row.slug, title: row.title, description: row.description, required: row.is_required };
        (row.lesson_id, task)
    })))
}

async fn roadmaps(connection: &mut PgConnection) -> Result<Vec<Roadmap>> {
    let mut stages = stages(connection).await?;
    let rows = sqlx::query!(
        r#"SELECT id, slug::text AS "slug!", title, summary, is_sequential, publication AS "publication: Publication"
           FROM roadmaps WHERE deleted_at IS NULL ORDER BY position, id"#
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Roadmap {
            slug: row.slug,
            title: row.title,
            summary: row.summary,
            sequential: row.is_sequential,
            publication: row.publication,
            stages: stages.remove(&row.id).unwrap_or_default(),
        })
        .collect())
}

/// The stages of each roadmap.
async fn stages(connection: &mut PgConnection) -> Result<HashMap<Uuid, Vec<Stage>>> {
    let placements = sqlx::query!(
        r#"SELECT sl.stage_id, l.slug::text AS "lesson!", sl.is_required
           FROM stage_lessons sl
           JOIN lessons l ON l.id = sl.lesson_id
           JOIN course_modules m ON m.id = l.module_id
           WHERE l.deleted_at IS NULL AND m.deleted_at IS NULL
           ORDER BY sl.position, l.id"#
    )
    .fetch_all(&mut *connection)
    .await?;
    let mut lessons = grouped(
        placements.into_iter().map(|row| (row.stage_id, StageLesson { lesson: row.lesson, required: row.is_required })),
    );
    let rows = sqlx::query!(
        r#"SELECT id, roadmap_id, slug::text AS "slug!", title, summary, publication AS "publication: Publication"
           FROM stages WHERE deleted_at IS NULL ORDER BY position, id"#
    )
    .fetch_all(connection)
    .await?;
    Ok(grouped(rows.into_iter().map(|row| {
        let stage = Stage {
            slug: row.slug,
            title: row.title,
            summary: row.summary,
            publication: row.publication,
            lessons: lessons.remove(&row.id).unwrap_or_default(),
        };
        (row.roadmap_id, stage)
    })))
}

async fn styles(connection: &mut PgConnection) -> Result<Vec<Style>> {
    let rows = sqlx::query_as!(
        Style,
        r#"SELECT slug::text AS "slug!", title, category AS "category: _", description, prompt, tags,
               preview_url::text, publication AS "publication: Publication"
           FROM style_cards WHERE deleted_at IS NULL ORDER BY position, id"#
    );
    Ok(rows.fetch_all(connection).await?)
}

async fn glossary(connection: &mut PgConnection) -> Result<Vec<Term>> {
    let rows = sqlx::query_as!(
        Term,
        r#"SELECT slug::text AS "slug!", term, category::text, definition, tags, publication AS "publication: Publication"
           FROM glossary_terms WHERE deleted_at IS NULL ORDER BY slug"#
    );
    Ok(rows.fetch_all(connection).await?)
}

async fn prompt_categories(connection: &mut PgConnection) -> Result<Vec<PromptCategory>> {
    let rows = sqlx::query_as!(
        PromptCategory,
        r#"SELECT slug::text AS "slug!", name, kind AS "kind: _", color
           FROM prompt_categories WHERE deleted_at IS NULL ORDER BY position, id"#
    );
    Ok(rows.fetch_all(connection).await?)
}

/// Leaves out prompts whose category is deleted, just as lessons of a deleted module are left out.
async fn prompts(connection: &mut PgConnection) -> Result<Vec<Prompt>> {
    let rows =
        sqlx::query!("SELECT prompt_id, title, body FROM prompt_steps WHERE deleted_at IS NULL ORDER BY position, id")
            .fetch_all(&mut *connection)
            .await?;
    let mut steps =
        grouped(rows.into_iter().map(|row| (row.prompt_id, PromptStep { title: row.title, body: row.body })));
    let rows = sqlx::query!(
        r#"SELECT p.id, p.slug::text AS "slug!", p.title, c.slug::text AS "category!", p.description, p.body, p.tags,
               p.publication AS "publication: Publication"
           FROM prompts p JOIN prompt_categories c ON c.id = p.category_id
           WHERE p.deleted_at IS NULL AND c.deleted_at IS NULL ORDER BY p.position, p.id"#
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Prompt {
            slug: row.slug,
            title: row.title,
            category: row.category,
            description: row.description,
            body: row.body,
            tags: row.tags,
            publication: row.publication,
            steps: steps.remove(&row.id).unwrap_or_default(),
        })
        .collect())
}
