//! The lessons of a stage: a list that is edited as a whole, under the version of the stage.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::stages::{self, Stage};
use super::tree;
use crate::Result;
use crate::activity::Verb;
use crate::db::Tx;
use crate::noun::Noun;
use crate::refusal::{NotFound, OrRefuse, Rejected};
use crate::resource::{Edit, Publication, Refusal, Resource};
use crate::schema::{Fault, FaultCode};

/// A stage and the lessons that it contains, in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StageLessons {
    /// The stage.
    #[serde(skip)]
    pub stage: Stage,
    /// Its lessons.
    pub lessons: Vec<Placement>,
}

/// A lesson in a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Placement {
    /// The lesson.
    pub lesson_id: Uuid,
    /// Whether it must be completed to complete the stage.
    pub is_required: bool,
}

/// A lesson in a stage, with what the list shows of it.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "columns of the tables stage_lessons and lessons")]
pub struct PlacedLesson {
    pub lesson_id: Uuid,
    pub is_required: bool,
    pub slug: String,
    pub title: String,
    pub publication: Publication,
}

impl Resource for StageLessons {
    const NOUN: Noun = Noun::Stage;

    fn id(&self) -> Uuid {
        self.stage.id
    }

    fn title(&self) -> &str {
        &self.stage.title
    }

    fn version(&self) -> i64 {
        self.stage.version
    }

    fn deleted_at(&mut self) -> &mut Option<DateTime<Utc>> {
        &mut self.stage.deleted_at
    }

    async fn lock(connection: &mut PgConnection, id: Uuid) -> Result<Option<Self>> {
        let Some(stage) = Stage::lock(connection, id).await? else { return Ok(None) };
        let lessons = select(connection, id).await?.into_iter();
        let lessons = lessons.map(|PlacedLesson { lesson_id, is_required, .. }| Placement { lesson_id, is_required });
        Ok(Some(Self { stage, lessons: lessons.collect() }))
    }

    async fn save(&self, connection: &mut PgConnection) -> Result<Self, Rejected<Refusal>> {
        let ids: Vec<Uuid> = self.lessons.iter().map(|lesson| lesson.lesson_id).collect();
        let required: Vec<bool> = self.lessons.iter().map(|lesson| lesson.is_required).collect();
        check_lessons(connection, &ids).await?;
        // A deleted lesson is not in the list. It keeps its place, for when it is restored.
        sqlx::query!(
            "DELETE FROM stage_lessons sl USING lessons l
             WHERE sl.stage_id = $1 AND l.id = sl.lesson_id AND l.deleted_at IS NULL AND sl.lesson_id <> ALL ($2)",
            self.stage.id,
            &ids
        )
        .execute(&mut *connection)
        .await?;
        sqlx::query!(
            "INSERT INTO stage_lessons AS t (stage_id, lesson_id, position, is_required)
             SELECT $1, lesson_id, position - 1, is_required
             FROM unnest($2::uuid[], $3::boolean[]) WITH ORDINALITY AS d (lesson_id, is_required, position)
             ON CONFLICT (stage_id, lesson_id) DO UPDATE SET
                 position = excluded.position, is_required = excluded.is_required
             WHERE (t.position, t.is_required) IS DISTINCT FROM (excluded.position, excluded.is_required)",
            self.stage.id,
            &ids,
            &required
        )
        .execute(&mut *connection)
        .await?;
        let stage = stages::raise_version(connection, self.stage.id).await?;
        Ok(Self { stage, lessons: self.lessons.clone() })
    }

    async fn after_save(&self, tx: &mut Tx, _before: Option<&Self>) -> Result<(), Rejected<Refusal>> {
        tree::check_size(self.lessons.len().try_into().unwrap_or(i64::MAX), tree::MAX_ITEMS)?;
        Ok(tree::enqueue_consequences(tx).await?)
    }
}

/// Refuses lessons that are deleted, unknown or repeated, each with its place in the list.
async fn check_lessons(connection: &mut PgConnection, ids: &[Uuid]) -> Result<(), Rejected<Refusal>> {
    let known = sqlx::query_scalar!("SELECT id FROM lessons WHERE id = ANY ($1) AND deleted_at IS NULL", ids);
    let known: HashSet<Uuid> = known.fetch_all(connection).await?.into_iter().collect();
    let mut seen = HashSet::new();
    let fault = |index: usize, code, message: &str| Fault {
        pointer: format!("/lessons/{index}/lesson_id"),
        code,
        message: message.to_owned(),
    };
    let faults: Vec<Fault> = ids
        .iter()
        .enumerate()
        .filter_map(|(index, id)| match (known.contains(id), seen.insert(*id)) {
            (_, false) => Some(fault(index, FaultCode::Duplicate, "The lesson is in the list already.")),
            (false, true) => Some(fault(index, FaultCode::NotAllowed, "There is no lesson with this id.")),
            (true, true) => None,
        })
        .collect();
    if faults.is_empty() { Ok(()) } else { Err(Rejected::Refused(Refusal::Faults(faults))) }
}

/// The lessons of a stage that are not deleted, in order.
async fn select(connection: &mut PgConnection, stage_id: Uuid) -> Result<Vec<PlacedLesson>> {
    let lessons = sqlx::query_as!(
        PlacedLesson,
        r#"SELECT sl.lesson_id, sl.is_required, l.slug AS "slug: String", l.title,
               l.publication AS "publication: Publication"
           FROM stage_lessons sl JOIN lessons l ON l.id = sl.lesson_id
           WHERE sl.stage_id = $1 AND l.deleted_at IS NULL
           ORDER BY sl.position, sl.lesson_id"#,
        stage_id
    );
    Ok(lessons.fetch_all(connection).await?)
}

/// Finds a stage with its lessons, whatever their publication.
pub async fn find(
    connection: &mut PgConnection,
    stage_id: Uuid,
) -> Result<(Stage, Vec<PlacedLesson>), Rejected<NotFound>> {
    let stage = stages::find(connection, stage_id).await?;
    let lessons = select(connection, stage_id).await?;
    Ok((stage, lessons))
}

/// Refuses a lesson that cannot be put into a stage.
pub async fn check_lesson(connection: &mut PgConnection, id: Uuid) -> Result<(), Rejected<NotFound>> {
    let lesson = sqlx::query_scalar!("SELECT id FROM lessons WHERE id = $1 AND deleted_at IS NULL", id);
    lesson.fetch_optional(connection).await?.or_not_found(Noun::Lesson).map(drop)
}

/// Makes `lessons` the list.
pub fn replace(lessons: Vec<Placement>) -> Edit<StageLessons> {
    Edit::new(Verb::Updated, |list: &mut StageLessons| {
        list.lessons = lessons;
        Ok(())
    })
}

/// Puts a lesson at the end of the list, or changes whether it is required if it is in the list already.
pub fn put(lesson_id: Uuid, is_required: bool) -> Edit<StageLessons> {
    Edit::new(Verb::Updated, move |list: &mut StageLessons| {
        match list.lessons.iter_mut().find(|lesson| lesson.lesson_id == lesson_id) {
            Some(lesson) => lesson.is_required = is_required,
            None => list.lessons.push(Placement { lesson_id, is_required }),
        }
        Ok(())
    })
}

/// Takes a lesson out of the list.
pub fn remove(lesson_id: Uuid) -> Edit<StageLessons> {
    Edit::new(Verb::Updated, move |list: &mut StageLessons| {
        list.lessons.retain(|lesson| lesson.lesson_id != lesson_id);
        Ok(())
    })
}
