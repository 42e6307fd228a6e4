//! Checking the tasks of a lesson.

use cairn_core::learning::{facts, lessons};
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use uuid::Uuid;

use super::completion::LessonChange;
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::{App, Code, Problem};

/// Checking the tasks of a lesson.
pub struct TasksApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[("checkTask", &[Code::StageLocked]), ("uncheckTask", &[Code::StageLocked])];

#[OpenApi]
impl TasksApi {
    /// Check a task
    ///
    /// Starts the lesson if it has not been started. In a lesson with the rule `tasks`, checking the last required task
    /// completes the lesson; optional tasks do not count. Checking a task again has no effect.
    #[oai(
        path = "/lessons/:lesson_id/tasks/:task_id/check",
        method = "put",
        operation_id = "checkTask",
        tag = Tag::Lessons
    )]
    async fn check_task(
        &self,
        caller: Member,
        /// The lesson.
        lesson_id: Path<Uuid>,
        /// The task.
        task_id: Path<Uuid>,
    ) -> Result<Json<LessonChange>, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        let lesson = lessons::open(&mut tx, lesson_id.0).await?;
        let task = lessons::find_task(&mut tx, &lesson, task_id.0).await?;
        let change = facts::check(&mut tx, &lesson, &task).await?;
        tx.commit().await?;
        Ok(Json(LessonChange::new(lesson_id.0, change)))
    }

    /// Uncheck a task
    ///
    /// Unchecking a required task of a completed lesson with the rule `tasks` reopens the lesson. Unchecking a task again
    /// has no effect.
    #[oai(
        path = "/lessons/:lesson_id/tasks/:task_id/check",
        method = "delete",
        operation_id = "uncheckTask",
        tag = Tag::Lessons
    )]
    async fn uncheck_task(
        &self,
        caller: Member,
        /// The lesson.
        lesson_id: Path<Uuid>,
        /// The task.
        task_id: Path<Uuid>,
    ) -> Result<Json<LessonChange>, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        let lesson = lessons::open(&mut tx, lesson_id.0).await?;
        let task = lessons::find_task(&mut tx, &lesson, task_id.0).await?;
        let change = facts::uncheck(&mut tx, &lesson, &task).await?;
        tx.commit().await?;
        Ok(Json(LessonChange::new(lesson_id.0, change)))
    }
}
