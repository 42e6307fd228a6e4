//! Lessons as learners read them.

use cairn_core::learning::{course, lessons, locks};
use poem_openapi::param::Path;
use poem_openapi::{Enum, Object, OpenApi};
use uuid::Uuid;

use super::{CompletionRule, LessonState, MissingStage};
use crate::answers::Tagged;
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::time::OptionalTime;
use crate::view::view;
use crate::{App, Problem};

/// Lessons.
pub struct LessonsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

/// The kind of a material.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case", remote = "course::MaterialKind")]
#[expect(missing_docs, reason = "the names are self-explanatory")]
pub enum MaterialKind {
    Link,
    Video,
    File,
    Document,
}

view! {
    /// A material of a lesson.
    pub struct Material from lessons::Material {
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

/// A task of a lesson.
#[derive(Clone, Debug, Object)]
pub struct LessonTask {
    /// Identifies the task.
    pub id: Uuid,
    /// The name of the task in URLs, unique in the lesson.
    pub slug: String,
    /// The task in a few words.
    pub title: String,
    /// Details, in Markdown.
    pub description: String,
    /// Whether the task must be checked before a lesson with the rule `tasks` is completed.
    pub is_required: bool,
    /// Whether you have checked it.
    pub is_checked: bool,
    /// When you checked it; null if you have not.
    pub checked_at: OptionalTime,
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
            checked_at: task.checked_at.into(),
        }
    }
}

/// A stage that contains a lesson.
#[derive(Clone, Debug, Object)]
pub struct LessonStage {
    /// Identifies the roadmap of the stage.
    pub roadmap_id: Uuid,
    /// The title of the roadmap.
    pub roadmap_title: String,
    /// Identifies the stage.
    pub stage_id: Uuid,
    /// The title of the stage.
    pub stage_title: String,
    /// Whether the lesson is required to complete the stage.
    pub is_required: bool,
    /// Whether the stage is locked for you.
    pub is_locked: bool,
    /// The earlier stages that you have not completed; empty unless the stage is locked.
    pub locked_by: Vec<MissingStage>,
}

impl From<locks::LessonPlacement> for LessonStage {
    fn from(placement: locks::LessonPlacement) -> Self {
        Self {
            is_locked: placement.is_locked(),
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
pub struct Lesson {
    /// Identifies the lesson.
    pub id: Uuid,
    /// The name of the lesson in URLs.
    pub slug: String,
    /// The title.
    pub title: String,
    /// A summary in a sentence or two.
    pub summary: String,
    /// The estimated duration, in minutes.
    #[oai(validator(minimum(value = "1")))]
    pub duration_minutes: i32,
    /// How the lesson is completed.
    pub completion: CompletionRule,
    /// Identifies the module of the lesson.
    pub module_id: Uuid,
    /// The title of the module.
    pub module_title: String,
    /// Your state.
    #[oai(flatten)]
    pub state: LessonState,
    /// Whether the lesson is locked: it is in at least one stage, and all of its stages are locked for you. The body,
    /// video, materials and tasks of a locked lesson are withheld, and `stages` says why.
    pub is_locked: bool,
    /// The stages that contain the lesson.
    pub stages: Vec<LessonStage>,
    /// The content, in Markdown; null if the lesson is locked.
    pub body: Option<String>,
    /// The URL of the video; null if there is none, or if the lesson is locked.
    pub video_url: Option<String>,
    /// The materials, in order; empty if the lesson is locked.
    pub materials: Vec<Material>,
    /// The tasks, in order; empty if the lesson is locked.
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
            is_locked: lesson.is_locked,
            stages: lesson.placements.into_iter().map(LessonStage::from).collect(),
            body: lesson.body,
            video_url: lesson.video_url,
            materials: lesson.materials.into_iter().map(Material::from).collect(),
            tasks: lesson.tasks.into_iter().map(LessonTask::from).collect(),
        }
    }
}

#[OpenApi]
impl LessonsApi {
    /// Get a lesson
    ///
    /// A locked lesson has a title, a summary, a duration and the reason why it is locked, but no content.
    #[oai(path = "/lessons/:lesson_id", method = "get", operation_id = "getLesson", tag = Tag::Lessons)]
    async fn get_lesson(
        &self,
        caller: Member,
        /// The lesson.
        lesson_id: Path<Uuid>,
    ) -> Result<Tagged<Lesson>, Problem> {
        let mut connection = self.app.connection().await?;
        let lesson = lessons::find(&mut connection, &caller, lesson_id.0).await?;
        Ok(Tagged::new(&lesson.into()))
    }
}
