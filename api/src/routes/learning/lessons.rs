//! Lessons as learners read them.

use cairn_core::learning::{course, lessons, locks};
use chrono::{DateTime, Utc};
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{Enum, Object, OpenApi};
use uuid::Uuid;

use super::{CompletionRule, LessonState, LessonStatus, MissingStage, example_id};
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::{App, Code, Problem};

/// Lessons.
pub struct LessonsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[("getLesson", &[Code::LessonNotFound])];

/// What a material is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each says itself")]
pub enum MaterialKind {
    Link,
    Video,
    File,
    Document,
}

impl From<course::MaterialKind> for MaterialKind {
    fn from(kind: course::MaterialKind) -> Self {
        match kind {
            course::MaterialKind::Link => Self::Link,
            course::MaterialKind::Video => Self::Video,
            course::MaterialKind::File => Self::File,
            course::MaterialKind::Document => Self::Document,
        }
    }
}

/// Something that goes with a lesson.
#[derive(Clone, Debug, Object)]
pub struct Material {
    /// The material's id.
    pub id: Uuid,
    /// What it is.
    pub kind: MaterialKind,
    /// Its title.
    pub title: String,
    /// Where it is.
    pub url: String,
}

impl From<lessons::Material> for Material {
    fn from(material: lessons::Material) -> Self {
        Self { id: material.id, kind: material.kind.into(), title: material.title, url: material.url }
    }
}

/// Something to do in a lesson.
#[derive(Clone, Debug, Object)]
pub struct LessonTask {
    /// The task's id.
    pub id: Uuid,
    /// Its name inside the lesson.
    pub slug: String,
    /// What to do.
    pub title: String,
    /// More about it, in Markdown.
    pub description: String,
    /// Whether the completion of a lesson whose rule is `tasks` waits for it.
    pub is_required: bool,
    /// Whether you have checked it.
    pub is_checked: bool,
    /// When you checked it.
    pub checked_at: Option<DateTime<Utc>>,
}

impl From<lessons::Task> for LessonTask {
    fn from(task: lessons::Task) -> Self {
        Self {
            id: task.id,
            slug: task.slug,
            title: task.title,
            description: task.description,
            is_required: task.is_required,
            is_checked: task.checked_at.is_some(),
            checked_at: task.checked_at,
        }
    }
}

/// A stage that a lesson stands in.
#[derive(Clone, Debug, Object)]
pub struct LessonStage {
    /// Its roadmap.
    pub roadmap_id: Uuid,
    /// The roadmap's title.
    pub roadmap_title: String,
    /// The stage.
    pub stage_id: Uuid,
    /// The stage's title.
    pub stage_title: String,
    /// Whether the lesson counts there.
    pub is_required: bool,
    /// Whether the stage is locked for you.
    pub locked: bool,
    /// Why: the earlier stages that are not completed. Empty unless it is locked.
    pub locked_by: Vec<MissingStage>,
}

impl From<locks::LessonPlacement> for LessonStage {
    fn from(placement: locks::LessonPlacement) -> Self {
        Self {
            locked: placement.is_locked(),
            roadmap_id: placement.roadmap_id,
            roadmap_title: placement.roadmap_title,
            stage_id: placement.stage_id,
            stage_title: placement.stage_title,
            is_required: placement.is_required,
            locked_by: placement.missing.into_iter().map(MissingStage::from).collect(),
        }
    }
}

/// A lesson, with your state.
#[derive(Clone, Debug, Object)]
#[oai(example)]
pub struct Lesson {
    /// The lesson's id.
    pub id: Uuid,
    /// Its name in addresses.
    pub slug: String,
    /// Its title.
    pub title: String,
    /// What it is about.
    pub summary: String,
    /// How long it takes, in minutes.
    #[oai(validator(minimum(value = "1")))]
    pub duration_minutes: i32,
    /// How it is completed.
    pub completion: CompletionRule,
    /// The module it belongs to.
    pub module_id: Uuid,
    /// The module's title.
    pub module_title: String,
    /// How far you are.
    #[oai(flatten)]
    pub state: LessonState,
    /// Whether it is locked: it stands in at least one stage, and every such stage is locked for you. Then its body,
    /// video, materials and tasks are withheld, and `stages` says why.
    pub locked: bool,
    /// The stages it stands in.
    pub stages: Vec<LessonStage>,
    /// The lesson itself, in Markdown; null while it is locked.
    pub body: Option<String>,
    /// Where its video is; null if it has none, and while it is locked.
    pub video_url: Option<String>,
    /// What goes with it, in order; empty while it is locked.
    pub materials: Vec<Material>,
    /// What to do, in order; empty while it is locked.
    pub tasks: Vec<LessonTask>,
}

impl From<lessons::Lesson> for Lesson {
    fn from(lesson: lessons::Lesson) -> Self {
        Self {
            state: LessonState::new(lesson.status(), lesson.fact),
            id: lesson.id,
            slug: lesson.slug,
            title: lesson.title,
            summary: lesson.summary,
            duration_minutes: lesson.duration_minutes,
            completion: lesson.completion.into(),
            module_id: lesson.module_id,
            module_title: lesson.module_title,
            locked: lesson.is_locked,
            stages: lesson.placements.into_iter().map(LessonStage::from).collect(),
            body: lesson.body,
            video_url: lesson.video_url,
            materials: lesson.materials.into_iter().map(Material::from).collect(),
            tasks: lesson.tasks.into_iter().map(LessonTask::from).collect(),
        }
    }
}

impl Example for Lesson {
    fn example() -> Self {
        Self {
            id: example_id(4),
            slug: "hello-html".to_owned(),
            title: "Hello, HTML".to_owned(),
            summary: "An empty file becomes a page.".to_owned(),
            duration_minutes: 15,
            completion: CompletionRule::Tasks,
            module_id: example_id(1),
            module_title: "HTML basics".to_owned(),
            state: LessonState {
                status: LessonStatus::InProgress,
                started_at: Some(DateTime::UNIX_EPOCH),
                completed_at: None,
            },
            locked: false,
            stages: vec![LessonStage {
                roadmap_id: example_id(2),
                roadmap_title: "Your first web page".to_owned(),
                stage_id: example_id(3),
                stage_title: "Start".to_owned(),
                is_required: true,
                locked: false,
                locked_by: Vec::new(),
            }],
            body: Some("# Hello\n\nOpen an editor.".to_owned()),
            video_url: None,
            materials: vec![Material {
                id: example_id(5),
                kind: MaterialKind::Link,
                title: "The list of elements".to_owned(),
                url: "https://elements.example".to_owned(),
            }],
            tasks: vec![LessonTask {
                id: example_id(6),
                slug: "make-a-file".to_owned(),
                title: "Make a file named index.html".to_owned(),
                description: String::new(),
                is_required: true,
                is_checked: false,
                checked_at: None,
            }],
        }
    }
}

#[OpenApi]
impl LessonsApi {
    /// Get a lesson
    ///
    /// A lesson that is locked for you shows its title, summary and duration, and why it is locked, but not its content.
    #[oai(path = "/lessons/:lesson_id", method = "get", operation_id = "getLesson", tag = Tag::Lessons)]
    async fn get_lesson(
        &self,
        caller: Member,
        /// The lesson.
        lesson_id: Path<Uuid>,
    ) -> Result<Json<Lesson>, Problem> {
        let mut connection = self.app.connection().await?;
        let lesson = lessons::find(&mut connection, &caller, lesson_id.0).await?;
        Ok(Json(lesson.into()))
    }
}
