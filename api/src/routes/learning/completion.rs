//! Starting, completing and reopening lessons.

use cairn_core::learning::facts::{self, FactChange, Mark};
use cairn_core::learning::lessons::{self, lesson_status};
use chrono::{DateTime, Utc};
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};
use uuid::Uuid;

use super::{LessonState, LessonStatus, example_id};
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::{App, Code, Problem};

/// Starting, completing and reopening lessons.
pub struct CompletionApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[
    ("startLesson", &[Code::LessonNotFound, Code::StageLocked]),
    ("completeLesson", &[Code::LessonNotFound, Code::StageLocked, Code::TasksIncomplete]),
    ("uncompleteLesson", &[Code::LessonNotFound, Code::StageLocked]),
];

/// Where the numbers of a roadmap will have seen the change.
#[derive(Clone, Debug, Object)]
pub struct ProgressMark {
    /// The roadmap.
    pub roadmap_id: Uuid,
    /// Send it as `min_seq` to `/v1/roadmaps/{roadmap_id}/progress`.
    #[oai(validator(minimum(value = "0")))]
    pub seq: i64,
}

impl From<Mark> for ProgressMark {
    fn from(mark: Mark) -> Self {
        Self { roadmap_id: mark.roadmap_id, seq: mark.seq }
    }
}

/// What an action on a lesson left behind.
#[derive(Clone, Debug, Object)]
#[oai(example)]
pub struct LessonChange {
    /// The lesson.
    pub lesson_id: Uuid,
    /// Whether this call changed anything; false if it was so before.
    pub changed: bool,
    /// How far you are now.
    #[oai(flatten)]
    pub state: LessonState,
    /// The roadmaps that the lesson stands in. Their numbers follow within moments.
    pub progress: Vec<ProgressMark>,
}

impl LessonChange {
    /// The answer to an action on an open lesson.
    pub(super) fn new(lesson_id: Uuid, change: FactChange) -> Self {
        Self {
            lesson_id,
            changed: change.is_changed,
            state: LessonState::new(lesson_status(change.fact, false), change.fact),
            progress: change.marks.into_iter().map(ProgressMark::from).collect(),
        }
    }
}

impl Example for LessonChange {
    fn example() -> Self {
        let now: DateTime<Utc> = DateTime::UNIX_EPOCH;
        Self {
            lesson_id: example_id(4),
            changed: true,
            state: LessonState { status: LessonStatus::Completed, started_at: Some(now), completed_at: Some(now) },
            progress: vec![ProgressMark { roadmap_id: example_id(2), seq: 3 }],
        }
    }
}

#[OpenApi]
impl CompletionApi {
    /// Start a lesson
    ///
    /// Starting again changes nothing.
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
    /// Completing again changes nothing and keeps the time. A lesson whose rule is `tasks` needs its required tasks
    /// checked first.
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

    /// Take the completion of a lesson back
    ///
    /// The lesson is in progress again; checked tasks stay checked. Of a lesson that is not completed it changes nothing.
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
