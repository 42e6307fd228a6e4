//! Materials and tasks: the parts of a lesson, which are edited with it and keep their ids.

use std::collections::HashSet;

use serde::Serialize;
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Result;
use crate::clock::new_id;
use crate::learning::course::MaterialKind;
use crate::schema::{Fault, FaultCode};

/// A material of a lesson.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "columns of the table lesson_materials")]
pub struct Material {
    pub id: Uuid,
    pub kind: MaterialKind,
    pub title: String,
    pub url: String,
}

/// A task of a lesson.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "columns of the table lesson_tasks")]
pub struct Task {
    pub id: Uuid,
    pub slug: String,
    pub title: String,
    pub description: String,
    pub is_required: bool,
}

/// What has an id of its own within a lesson.
pub(super) trait Part {
    fn id(&mut self) -> &mut Uuid;
}

impl Part for Material {
    fn id(&mut self) -> &mut Uuid {
        &mut self.id
    }
}

impl Part for Task {
    fn id(&mut self) -> &mut Uuid {
        &mut self.id
    }
}

/// Gives new entries an id. An id that an entry names must be that of a current or removed part, and be named once.
pub(super) fn identify<P: Part + Clone>(
    member: &str,
    entries: Vec<(Option<Uuid>, P)>,
    current: &[P],
    removed: &[Uuid],
    faults: &mut Vec<Fault>,
) -> Vec<P> {
    let known: HashSet<Uuid> =
        current.iter().cloned().map(|mut part| *part.id()).chain(removed.iter().copied()).collect();
    let mut seen = HashSet::new();
    let identified = entries.into_iter().enumerate().map(|(index, (id, mut part))| {
        let mut fault = |code, message: String| {
            faults.push(Fault { pointer: format!("/{member}/{index}/id"), code, message });
        };
        match id {
            Some(id) if !known.contains(&id) => {
                fault(FaultCode::NotAllowed, format!("This is not the id of one of the lesson's {member}."));
            }
            Some(id) if !seen.insert(id) => fault(FaultCode::Duplicate, "This id is in the list already.".to_owned()),
            _ => {}
        }
        *part.id() = id.unwrap_or_else(new_id);
        part
    });
    identified.collect()
}

/// The slug of a task is unique within its lesson.
pub(super) fn check_slugs(tasks: &[Task], faults: &mut Vec<Fault>) {
    let mut seen = HashSet::new();
    for (index, task) in tasks.iter().enumerate() {
        if !seen.insert(task.slug.as_str()) {
            let message = "Another task of the lesson has this slug.".to_owned();
            faults.push(Fault { pointer: format!("/tasks/{index}/slug"), code: FaultCode::Duplicate, message });
        }
    }
}

/// The materials of a lesson, in order.
pub(super) async fn materials(connection: &mut PgConnection, lesson_id: Uuid) -> Result<Vec<Material>> {
    let materials = sqlx::query_as!(
        Material,
        r#"SELECT id, kind AS "kind: MaterialKind", title, url AS "url: String"
           FROM lesson_materials WHERE lesson_id = $1 AND deleted_at IS NULL ORDER BY position, id"#,
        lesson_id
    );
    Ok(materials.fetch_all(connection).await?)
}

/// The tasks of a lesson, in order.
pub(super) async fn tasks(connection: &mut PgConnection, lesson_id: Uuid) -> Result<Vec<Task>> {
    let tasks = sqlx::query_as!(
        Task,
        r#"SELECT id, slug AS "slug: String", title, description, is_required
           FROM lesson_tasks WHERE lesson_id = $1 AND deleted_at IS NULL ORDER BY position, id"#,
        lesson_id
    );
    Ok(tasks.fetch_all(connection).await?)
}

/// The ids of materials and tasks that were removed from a lesson.
pub(super) async fn removed(connection: &mut PgConnection, lesson_id: Uuid) -> Result<Vec<Uuid>> {
    let removed = sqlx::query_scalar!(
        r#"SELECT id AS "id!" FROM lesson_materials WHERE lesson_id = $1 AND deleted_at IS NOT NULL
           UNION ALL
           SELECT id FROM lesson_tasks WHERE lesson_id = $1 AND deleted_at IS NOT NULL"#,
        lesson_id
    );
    Ok(removed.fetch_all(connection).await?)
}

/// Makes these the materials of a lesson. Others are marked as deleted.
pub(super) async fn save_materials(
    connection: &mut PgConnection,
    lesson_id: Uuid,
    materials: &[Material],
) -> Result<()> {
    let ids: Vec<Uuid> = materials.iter().map(|material| material.id).collect();
    sqlx::query!(
        "UPDATE lesson_materials SET deleted_at = now() WHERE lesson_id = $1 AND deleted_at IS NULL AND id <> ALL ($2)",
        lesson_id,
        &ids
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "INSERT INTO lesson_materials AS t (id, lesson_id, kind, title, url, position)
         SELECT id, $1, kind, title, url, position
         FROM jsonb_to_recordset($2) AS d (id uuid, kind material_kind, title text, url https_url, position integer)
         ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, title = excluded.title, url = excluded.url,
             position = excluded.position, deleted_at = NULL
         WHERE (t.kind, t.title, t.url, t.position, t.deleted_at)
             IS DISTINCT FROM (excluded.kind, excluded.title, excluded.url, excluded.position, NULL)",
        lesson_id,
        numbered(materials)?
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Makes these the tasks of a lesson. Others are marked as deleted; what learners checked stays.
pub(super) async fn save_tasks(connection: &mut PgConnection, lesson_id: Uuid, tasks: &[Task]) -> Result<()> {
    let tasks = numbered(tasks)?;
    // A task that changes its slug is deleted for a moment, or two that swap their slugs would violate the unique index.
    sqlx::query!(
        "UPDATE lesson_tasks t SET deleted_at = now()
         WHERE lesson_id = $1 AND deleted_at IS NULL
           AND NOT EXISTS (SELECT FROM jsonb_to_recordset($2) AS d (id uuid, slug text)
                           WHERE d.id = t.id AND d.slug = t.slug)",
        lesson_id,
        tasks
    )
    .execute(&mut *connection)
    .await?;
    sqlx::query!(
        "INSERT INTO lesson_tasks AS t (id, lesson_id, slug, title, description, is_required, position)
         SELECT id, $1, slug, title, description, is_required, position
         FROM jsonb_to_recordset($2) AS d (id uuid, slug slug, title text, description text, is_required boolean,
                                           position integer)
         ON CONFLICT (id) DO UPDATE SET slug = excluded.slug, title = excluded.title,
             description = excluded.description, is_required = excluded.is_required, position = excluded.position,
             deleted_at = NULL
         WHERE (t.slug, t.title, t.description, t.is_required, t.position, t.deleted_at)
             IS DISTINCT FROM (excluded.slug, excluded.title, excluded.description, excluded.is_required,
                               excluded.position, NULL)",
        lesson_id,
        tasks
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The parts as JSON, each with its position.
fn numbered<P: Serialize>(parts: &[P]) -> Result<Value> {
    let parts = parts.iter().enumerate().map(|(position, part)| {
        let mut value = serde_json::to_value(part)?;
        value["position"] = json!(position);
        Ok(value)
    });
    parts.collect()
}
