//! What admins read and write of lessons.

use cairn_core::learning::content::lessons::{Lesson as Row, LessonSummary};
use cairn_core::learning::content::parts;
use cairn_core::resource::Refusal;
use poem_openapi::Object;
use uuid::Uuid;

use crate::routes::admin::Publication;
use crate::routes::learning::CompletionRule;
use crate::routes::learning::lessons::MaterialKind;
use crate::time::{OptionalTime, Time};
use crate::view::view;

view! {
    /// A lesson as lists for admins show it.
    pub struct AdminLessonSummary from LessonSummary {
        /// Identifies the lesson.
        id: Uuid,
        /// Identifies the module.
        module_id: Uuid,
        /// The name in URLs.
        slug: String,
        /// The title.
        title: String,
        /// A summary in a sentence or two.
        summary: String,
        /// The estimated duration, in minutes.
        duration_minutes: i32,
        /// How the lesson is completed.
        completion: CompletionRule,
        /// The position in the module.
        position: i32,
        /// Whether it is shown to learners.
        publication: Publication,
        /// The version, which is also its `ETag`.
        version: i64,
        /// When it was created.
        created_at: Time,
        /// When it was last changed.
        updated_at: Time,
        /// When it was deleted; null if it is not.
        deleted_at: OptionalTime,
    }
}

view! {
    /// A material of a lesson as admins see it.
    pub struct AdminMaterial from parts::Material {
        /// Identifies the material.
        id: Uuid,
        /// The kind of material.
        kind: MaterialKind,
        /// The title.
        title: String,
        /// The URL of the material.
        url: String,
    }
}

view! {
    /// A task of a lesson as admins see it.
    pub struct AdminTask from parts::Task {
        /// Identifies the task.
        id: Uuid,
        /// The name of the task in URLs, unique in the lesson.
        slug: String,
        /// The task in a few words.
        title: String,
        /// Details, in Markdown.
        description: String,
        /// Whether the task must be checked before a lesson with the rule `tasks` is completed.
        is_required: bool,
    }
}

/// A lesson as admins see it.
#[derive(Clone, Debug, Object)]
pub struct AdminLesson {
    /// Identifies the lesson.
    pub id: Uuid,
    /// Identifies the module.
    pub module_id: Uuid,
    /// The name in URLs.
    pub slug: String,
    /// The title.
    pub title: String,
    /// A summary in a sentence or two.
    pub summary: String,
    /// The content, in Markdown.
    pub body: String,
    /// Questions that the lesson answers, as learners ask them.
    pub questions: Vec<String>,
    /// The URL of the video; null if there is none.
    pub video_url: Option<String>,
    /// The estimated duration, in minutes.
    pub duration_minutes: i32,
    /// How the lesson is completed.
    pub completion: CompletionRule,
    /// The materials, in order.
    pub materials: Vec<AdminMaterial>,
    /// The tasks, in order.
    pub tasks: Vec<AdminTask>,
    /// The position in the module.
    pub position: i32,
    /// Whether it is shown to learners.
    pub publication: Publication,
    /// The version, which is also its `ETag`.
    pub version: i64,
    /// When it was created.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
    /// When it was deleted; null if it is not.
    pub deleted_at: OptionalTime,
}

impl From<Row> for AdminLesson {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            module_id: row.module_id,
            slug: row.slug,
            title: row.title,
            summary: row.summary,
            body: row.body,
            questions: row.questions,
            video_url: row.video_url,
            duration_minutes: row.duration_minutes,
            completion: row.completion.into(),
            materials: row.materials.into_iter().map(AdminMaterial::from).collect(),
            tasks: row.tasks.into_iter().map(AdminTask::from).collect(),
            position: row.position,
            publication: row.publication.into(),
            version: row.version,
            created_at: row.created_at.into(),
            updated_at: row.updated_at.into(),
            deleted_at: row.deleted_at.into(),
        }
    }
}

/// A material of a lesson to create or change.
#[derive(Clone, Debug, Object)]
pub struct NewMaterial {
    /// The material of the lesson that the entry is; null for a new one.
    pub id: Option<Uuid>,
    /// The kind of material.
    pub kind: MaterialKind,
    /// The title.
    #[oai(validator(min_length = 1, max_length = 200))]
    pub title: String,
    /// The URL of the material.
    #[oai(validator(max_length = 2000, pattern = "^https?://\\S+$"))]
    pub url: String,
}

impl NewMaterial {
    fn entry(&self) -> (Option<Uuid>, parts::Material) {
        let Self { id, kind, title, url } = self.clone();
        (id, parts::Material { id: Uuid::nil(), kind: kind.into(), title, url })
    }
}

impl From<parts::Material> for NewMaterial {
    fn from(row: parts::Material) -> Self {
        Self { id: Some(row.id), kind: row.kind.into(), title: row.title, url: row.url }
    }
}

/// A task of a lesson to create or change.
#[derive(Clone, Debug, Object)]
pub struct NewTask {
    /// The task of the lesson that the entry is, with what learners have checked; null for a new one.
    pub id: Option<Uuid>,
    /// The name of the task in URLs, unique in the lesson.
    #[oai(validator(min_length = 2, max_length = 80, pattern = "^[a-z0-9]+(-[a-z0-9]+)*$"))]
    pub slug: String,
    /// The task in a few words.
    #[oai(validator(min_length = 1, max_length = 300))]
    pub title: String,
    /// Details, in Markdown.
    #[oai(default, validator(max_length = 5000))]
    pub description: String,
    /// Whether the task must be checked before a lesson with the rule `tasks` is completed.
    #[oai(default = "yes")]
    pub is_required: bool,
}

impl NewTask {
    fn entry(&self) -> (Option<Uuid>, parts::Task) {
        let Self { id, slug, title, description, is_required } = self.clone();
        (id, parts::Task { id: Uuid::nil(), slug, title, description, is_required })
    }
}

impl From<parts::Task> for NewTask {
    fn from(row: parts::Task) -> Self {
        let parts::Task { id, slug, title, description, is_required } = row;
        Self { id: Some(id), slug, title, description, is_required }
    }
}

fn yes() -> bool {
    true
}

fn manual() -> CompletionRule {
    CompletionRule::Manual
}

/// A lesson to create.
#[derive(Clone, Debug, Object)]
pub struct NewLesson {
    /// The module of the lesson.
    pub module_id: Uuid,
    /// The name in URLs: lower-case letters and digits, with single hyphens between them.
    #[oai(validator(min_length = 2, max_length = 80, pattern = "^[a-z0-9]+(-[a-z0-9]+)*$"))]
    pub slug: String,
    /// The title.
    #[oai(validator(min_length = 1, max_length = 200))]
    pub title: String,
    /// A summary in a sentence or two, shown even while the lesson is locked.
    #[oai(default, validator(max_length = 1000))]
    pub summary: String,
    /// The content, in Markdown.
    #[oai(default, validator(max_length = 100_000))]
    pub body: String,
    /// Questions that the lesson answers, as learners ask them. Searches and replies find the lesson by them; learners do not
    /// see them.
    #[oai(default, validator(max_items = 30, min_length = 1, max_length = 300))]
    pub questions: Vec<String>,
    /// The URL of the video; null if there is none.
    #[oai(validator(max_length = 2000, pattern = "^https?://\\S+$"))]
    pub video_url: Option<String>,
    /// The estimated duration, in minutes: at most 500 hours.
    #[oai(validator(minimum(value = "1"), maximum(value = "30000")))]
    pub duration_minutes: i32,
    /// How the lesson is completed. With the rule `tasks`, at least one task must be required.
    #[oai(default = "manual")]
    pub completion: CompletionRule,
    /// The materials, in order.
    #[oai(default, validator(max_items = 1000))]
    pub materials: Vec<NewMaterial>,
    /// The tasks, in order.
    #[oai(default, validator(max_items = 1000))]
    pub tasks: Vec<NewTask>,
}

impl From<&Row> for NewLesson {
    fn from(row: &Row) -> Self {
        Self {
            module_id: row.module_id,
            slug: row.slug.clone(),
            title: row.title.clone(),
            summary: row.summary.clone(),
            body: row.body.clone(),
            questions: row.questions.clone(),
            video_url: row.video_url.clone(),
            duration_minutes: row.duration_minutes,
            completion: row.completion.into(),
            materials: row.materials.iter().cloned().map(NewMaterial::from).collect(),
            tasks: row.tasks.iter().cloned().map(NewTask::from).collect(),
        }
    }
}

impl NewLesson {
    /// Sets the members on the row, unless what they refer to is not there.
    pub(crate) fn set(&self, row: &mut Row) -> Result<(), Refusal> {
        row.move_to(self.module_id);
        row.slug.clone_from(&self.slug);
        row.title.clone_from(&self.title);
        row.summary.clone_from(&self.summary);
        row.body.clone_from(&self.body);
        row.questions.clone_from(&self.questions);
        row.video_url.clone_from(&self.video_url);
        row.duration_minutes = self.duration_minutes;
        let materials = self.materials.iter().map(NewMaterial::entry).collect();
        let tasks = self.tasks.iter().map(NewTask::entry).collect();
        row.set_parts(self.completion.into(), materials, tasks)
    }
}
