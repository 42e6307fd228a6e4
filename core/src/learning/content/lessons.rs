//! Lessons with their materials and tasks, as admins edit them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::parts::{self, Material, Task};
use super::tree;
use crate::Result;
use crate::activity::Target;
use crate::db::Tx;
use crate::learning::catalog::Position;
use crate::learning::course::CompletionRule;
use crate::noun::Noun;
use crate::refusal::{NotFound, OnConstraint, OrRefuse, Rejected};
use crate::resource::{self, Publication, Publish, Refusal, Resource};
use crate::schema::{Fault, FaultCode};

/// A lesson. Lengths are in characters.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "columns of the table lessons, and the parts in order")]
pub struct Lesson {
    pub id: Uuid,
    pub module_id: Uuid,
    pub slug: String,
    pub title: String,
    pub summary: String,
    pub body: String,
    pub questions: Vec<String>,
    pub video_url: Option<String>,
    pub duration_minutes: i32,
    pub completion: CompletionRule,
    pub position: i32,
    pub publication: Publication,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub deleted_at: Option<DateTime<Utc>>,
    pub materials: Vec<Material>,
    pub tasks: Vec<Task>,
    /// The ids of materials and tasks that were removed. Whoever names one again restores it.
    #[serde(skip)]
    pub removed: Vec<Uuid>,
}

impl Lesson {
    /// A new lesson, the last of its module.
    pub fn new(id: Uuid) -> Self {
        Self { id, position: tree::LAST, ..Self::default() }
    }

    /// Moves the lesson to the end of another module, unless it is in that module already.
    pub fn move_to(&mut self, module_id: Uuid) {
        if self.module_id != module_id {
            self.module_id = module_id;
            self.position = tree::LAST;
        }
    }

    /// Changes the materials and tasks. An entry with an id is the part of the lesson that has it; others are new. Returns
    /// everything that is wrong, also that nobody could complete the lesson, unless that was so before.
    pub fn set_parts(
        &mut self,
        completion: CompletionRule,
        materials: Vec<(Option<Uuid>, Material)>,
        tasks: Vec<(Option<Uuid>, Task)>,
    ) -> Result<(), Refusal> {
        let could_be_completed = self.can_be_completed();
        let mut faults = Vec::new();
        self.materials = parts::identify("materials", materials, &self.materials, &self.removed, &mut faults);
        self.tasks = parts::identify("tasks", tasks, &self.tasks, &self.removed, &mut faults);
        parts::check_slugs(&self.tasks, &mut faults);
        self.completion = completion;
        if could_be_completed && !self.can_be_completed() {
            let message = "A lesson that is completed by its tasks needs a required task.".to_owned();
            faults.push(Fault { pointer: "/tasks".to_owned(), code: FaultCode::Invalid, message });
        }
        if faults.is_empty() { Ok(()) } else { Err(Refusal::Faults(faults)) }
    }

    fn can_be_completed(&self) -> bool {
        self.completion == CompletionRule::Manual || self.tasks.iter().any(|task| task.is_required)
    }
}

/// The columns of a lesson, without its parts.
struct LessonRow {
    id: Uuid,
    module_id: Uuid,
    slug: String,
    title: String,
    summary: String,
    body: String,
    questions: Vec<String>,
    video_url: Option<String>,
    duration_minutes: i32,
    completion: CompletionRule,
    position: i32,
    publication: Publication,
    version: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    deleted_at: Option<DateTime<Utc>>,
}

impl LessonRow {
    fn with(self, materials: Vec<Material>, tasks: Vec<Task>, removed: Vec<Uuid>) -> Lesson {
        Lesson {
            id: self.id,
            module_id: self.module_id,
            slug: self.slug,
            title: self.title,
            summary: self.summary,
            body: self.body,
            questions: self.questions,
            video_url: self.video_url,
            duration_minutes: self.duration_minutes,
            completion: self.completion,
            position: self.position,
            publication: self.publication,
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
            deleted_at: self.deleted_at,
            materials,
            tasks,
            removed,
        }
    }

    async fn with_parts(self, connection: &mut PgConnection) -> Result<Lesson> {
        let materials = parts::materials(connection, self.id).await?;
        let tasks = parts::tasks(connection, self.id).await?;
        let removed = parts::removed(connection, self.id).await?;
        Ok(self.with(materials, tasks, removed))
    }
}

/// Selects lessons from `$from`, which is the table or a statement that returns its rows.
macro_rules! select_lessons {
    ($with:literal, $from:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            LessonRow,
            $with
                + r#" SELECT id AS "id!", module_id AS "module_id!", slug AS "slug!: String", title AS "title!",
                       summary AS "summary!", body AS "body!", questions AS "questions!", video_url AS "video_url: String",
                       duration_minutes AS "duration_minutes!", completion AS "completion!: CompletionRule",
                       position AS "position!", publication AS "publication!: Publication", version AS "version!",
                       created_at AS "created_at!", updated_at AS "updated_at!", deleted_at
                   FROM "#
                + $from,
            $($argument),*
        )
    };
}

impl Resource for Lesson {
    const NOUN: Noun = Noun::Lesson;

    fn id(&self) -> Uuid {
        self.id
    }

    fn title(&self) -> &str {
        &self.title
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn deleted_at(&mut self) -> &mut Option<DateTime<Utc>> {
        &mut self.deleted_at
    }

    async fn lock(connection: &mut PgConnection, id: Uuid) -> Result<Option<Self>> {
        tree::lock(connection).await?;
        let lesson = select_lessons!("", "lessons WHERE id = $1 FOR NO KEY UPDATE", id);
        let Some(lesson) = lesson.fetch_optional(&mut *connection).await? else { return Ok(None) };
        Ok(Some(lesson.with_parts(connection).await?))
    }

    async fn save(&self, connection: &mut PgConnection) -> Result<Self, Rejected<Refusal>> {
        tree::lock(connection).await?;
        // The version is raised by hand, because the parts may be all that changes. The trigger raises it once in any case.
        let saved = select_lessons!(
            "WITH saved AS (
                 INSERT INTO lessons AS t (id, module_id, slug, title, summary, body, video_url, duration_minutes,
                     completion, position, publication, deleted_at, questions)
                 VALUES ($1, $2, $3::text, $4, $5, $6, $7::text, $8, $9,
                     CASE WHEN $10 < 2147483647 THEN $10
                          ELSE (SELECT coalesce(max(position) + 1, 0) FROM lessons WHERE module_id = $2) END,
                     $11, $12, $13)
                 ON CONFLICT (id) DO UPDATE SET module_id = excluded.module_id, slug = excluded.slug,
                     title = excluded.title, summary = excluded.summary, body = excluded.body,
                     video_url = excluded.video_url, duration_minutes = excluded.duration_minutes,
                     completion = excluded.completion, position = excluded.position,
                     publication = excluded.publication, deleted_at = excluded.deleted_at,
                     questions = excluded.questions, version = t.version + 1
                 RETURNING *
             )",
            "saved",
            self.id,
            self.module_id,
            self.slug,
            self.title,
            self.summary,
            self.body,
            self.video_url,
            self.duration_minutes,
            self.completion as CompletionRule,
            self.position,
            self.publication as Publication,
            self.deleted_at,
            &self.questions,
        );
        let saved = saved.fetch_one(&mut *connection).await;
        let saved = saved
            .on_constraint("lessons_slug_key", Refusal::Taken { member: "slug" })
            .on_constraint("lessons_module_id_fkey", no_module())?;
        parts::save_materials(connection, self.id, &self.materials).await?;
        parts::save_tasks(connection, self.id, &self.tasks).await?;
        Ok(saved.with(self.materials.clone(), self.tasks.clone(), self.removed.clone()))
    }

    async fn after_save(&self, tx: &mut Tx, before: Option<&Self>) -> Result<(), Rejected<Refusal>> {
        let is_moved = before.is_none_or(|before| before.module_id != self.module_id);
        if is_moved {
            let module = sqlx::query_scalar!(
                "SELECT id FROM course_modules WHERE id = $1 AND deleted_at IS NULL",
                self.module_id
            );
            module.fetch_optional(&mut **tx).await?.or_refuse(no_module())?;
        }
        let is_back = before.is_some_and(|before| before.deleted_at.is_some());
        if self.deleted_at.is_none() && (is_moved || is_back) {
            let size = sqlx::query_scalar!(
                r#"SELECT count(*) AS "size!" FROM lessons WHERE module_id = $1 AND deleted_at IS NULL"#,
                self.module_id
            );
            tree::check_size(size.fetch_one(&mut **tx).await?, tree::MAX_ITEMS)?;
        }
        Ok(tree::enqueue_consequences(tx).await?)
    }
}

impl Publish for Lesson {
    fn publication(&mut self) -> &mut Publication {
        &mut self.publication
    }
}

fn no_module() -> Refusal {
    let message = "There is no module with this id.".to_owned();
    Refusal::Faults(vec![Fault { pointer: "/module_id".to_owned(), code: FaultCode::NotAllowed, message }])
}

/// A lesson as lists show it.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "columns of the table lessons")]
pub struct LessonSummary {
    pub id: Uuid,
    pub module_id: Uuid,
    pub slug: String,
    pub title: String,
    pub summary: String,
    pub duration_minutes: i32,
    pub completion: CompletionRule,
    pub position: i32,
    pub publication: Publication,
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub deleted_at: Option<DateTime<Utc>>,
    /// The position of the module.
    pub module_position: i32,
}

/// Which lessons to list.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    /// Only lessons of this module.
    pub module_id: Option<Uuid>,
    /// Only lessons in this state.
    pub publication: Option<Publication>,
    /// The deleted lessons instead of the others.
    pub deleted: bool,
}

/// Sort key of the list: the place of the module and the place in the module.
pub type Key = (Position, Position);

/// At most `limit` lessons in the order of the course, starting after `after`.
pub async fn list(
    connection: &mut PgConnection,
    filter: Filter,
    after: Option<Key>,
    limit: i64,
) -> Result<Vec<LessonSummary>> {
    let (module, lesson) = after.unzip();
    let ((module_position, module_id), (position, id)) = (module.unzip(), lesson.unzip());
    let lessons = sqlx::query_as!(
        LessonSummary,
        r#"SELECT l.id, l.module_id, l.slug AS "slug: String", l.title, l.summary, l.duration_minutes,
               l.completion AS "completion: CompletionRule", l.position, l.publication AS "publication: Publication",
               l.version, l.created_at, l.updated_at, l.deleted_at, m.position AS module_position
           FROM lessons l JOIN course_modules m ON m.id = l.module_id
           WHERE ($1::uuid IS NULL OR l.module_id = $1) AND ($2::publication IS NULL OR l.publication = $2)
             AND (l.deleted_at IS NOT NULL) = $3
             AND ($4::integer IS NULL OR (m.position, m.id, l.position, l.id) > ($4, $5::uuid, $6::integer, $7::uuid))
           ORDER BY m.position, m.id, l.position, l.id
           LIMIT $8"#,
        filter.module_id,
        filter.publication as Option<Publication>,
        filter.deleted,
        module_position,
        module_id,
        position,
        id,
        limit
    );
    Ok(lessons.fetch_all(connection).await?)
}

/// Finds a lesson with its materials and tasks, whatever its publication, deleted or not.
pub async fn find(connection: &mut PgConnection, id: Uuid) -> Result<Lesson, Rejected<NotFound>> {
    let lesson = select_lessons!("", "lessons WHERE id = $1", id);
    let lesson = lesson.fetch_optional(&mut *connection).await?.or_not_found(Noun::Lesson)?;
    Ok(lesson.with_parts(connection).await?)
}

/// Puts all lessons of a module that are not deleted into this order.
pub async fn reorder(tx: &mut Tx, module_id: Uuid, order: &[Uuid]) -> Result<(), Rejected<Refusal>> {
    tree::lock(tx).await?;
    let module =
        sqlx::query_scalar!("SELECT title FROM course_modules WHERE id = $1 AND deleted_at IS NULL", module_id);
    let title = module.fetch_optional(&mut **tx).await?.or_not_found(Noun::Module)?;
    let current = sqlx::query_scalar!(
        "SELECT id FROM lessons WHERE module_id = $1 AND deleted_at IS NULL ORDER BY position, id",
        module_id
    );
    let current = current.fetch_all(&mut **tx).await?;
    resource::check_order(&current, order).map_err(Rejected::Refused)?;
    sqlx::query!(
        "UPDATE lessons l SET position = o.position::integer
         FROM unnest($1::uuid[]) WITH ORDINALITY AS o (id, position) WHERE l.id = o.id AND l.position <> o.position",
        order
    )
    .execute(&mut **tx)
    .await?;
    let module = Target::new(Noun::Module, module_id, &title);
    Ok(resource::record_order_in(tx, Noun::Lesson, Some(module), &current, order)?)
}
