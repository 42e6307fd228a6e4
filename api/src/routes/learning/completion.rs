//! Starting, completing and reopening lessons.

use cairn_core::learning::facts::{self, FactChange, Mark};
use cairn_core::learning::lessons::{self, lesson_status};
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use uuid::Uuid;

use super::LessonState;
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::view::view;
use crate::{App, Code, Problem};

/// Starting, completing and reopening lessons.
pub struct CompletionApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[
    ("startLesson", &[Code::StageLocked]),
    ("completeLesson", &[Code::StageLocked, Code::TasksIncomplete]),
    ("uncompleteLesson", &[Code::StageLocked]),
];

view! {
    /// The sequence number of a change in a roadmap.
    pub struct ProgressMark from Mark {
        /// Identifies the roadmap.
        roadmap_id: Uuid,
        /// The sequence number of the change, to send as `min_seq` to `/v1/roadmaps/{roadmap_id}/progress`.
        #[oai(validator(minimum(value = "0")))]
        seq: i64,
    }
}

/// The result of an action on a lesson.
#[derive(Clone, Debug, Object)]
pub struct LessonChange {
    /// Identifies the lesson.
    pub lesson_id: Uuid,
    /// Whether the call changed anything; false if the lesson was in this state before.
    pub is_changed: bool,
    /// Your state now.
    #[oai(flatten)]
    pub state: LessonState,
    /// The roadmaps that contain the lesson. Their progress is updated within moments.
    pub progress: Vec<ProgressMark>,
}

impl LessonChange {
    /// The answer to an action on an open lesson.
    pub(super) fn new(lesson_id: Uuid, change: FactChange) -> Self {
        Self {
            lesson_id,
            is_changed: change.is_changed,
            state: LessonState::new(lesson_status(change.fact, false), change.fact),
            progress: change.marks.into_iter().map(ProgressMark::from).collect(),
        }
    }
}

#[OpenApi]
impl CompletionApi {
    /// Start a lesson
    ///
    /// Starting a lesson again has no effect.
    #[oai(path = "/lessons/:lesson_id/start", method = "post", operation_id = "startLesson", tag = Tag::Lessons)]
    async fn start_lesson(
        &self,
        caller: Member,
        /// The lesson.
        lesson_id: Path<Uuid>,
    ) -> Result<Json<LessonChange>, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        let lesson = lessons::open(&mut tx, lesson_id.0).await?;
        let change = facts::start(&mut tx, &lesson).await?;
        tx.commit().await?;
        Ok(Json(LessonChange::new(lesson_id.0, change)))
    }

    /// Complete a lesson
    ///
    /// Completing a lesson again has no effect; the time of completion stays. In a lesson with the rule `tasks`, all
    /// required tasks must be checked first.
    #[oai(
        path = "/lessons/:lesson_id/completion",
        method = "put",
        operation_id = "completeLesson",
        tag = Tag::Lessons
    )]
    async fn complete_lesson(
        &self,
        caller: Member,
        /// The lesson.
        lesson_id: Path<Uuid>,
    ) -> Result<Json<LessonChange>, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        let lesson = lessons::open(&mut tx, lesson_id.0).await?;
        let change = facts::complete(&mut tx, &lesson).await?;
        tx.commit().await?;
        Ok(Json(LessonChange::new(lesson_id.0, change)))
    }

    /// Reopen a lesson
    ///
    /// The lesson is in progress again; checked tasks stay checked. Has no effect on a lesson that is not completed.
    #[oai(
        path = "/lessons/:lesson_id/completion",
        method = "delete",
        operation_id = "uncompleteLesson",
        tag = Tag::Lessons
    )]
    async fn uncomplete_lesson(
        &self,
        caller: Member,
        /// The lesson.
        lesson_id: Path<Uuid>,
    ) -> Result<Json<LessonChange>, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        let lesson = lessons::open(&mut tx, lesson_id.0).await?;
        let change = facts::uncomplete(&mut tx, &lesson).await?;
        tx.commit().await?;
        Ok(Json(LessonChange::new(lesson_id.0, change)))
    }
}
