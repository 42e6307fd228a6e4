//! Learning: roadmaps, modules, lessons, and what a learner does with them.

pub mod completion;
pub mod lessons;
pub mod modules;
pub mod progress;
pub mod roadmap_progress;
pub mod roadmaps;
pub mod students;
pub mod tasks;
pub mod tree;

use cairn_core::learning::course;
use cairn_core::learning::lessons::Fact;
use cairn_core::learning::rules::{self, StageCounts};
use poem_openapi::{Enum, Object};
use uuid::Uuid;

use crate::time::OptionalTime;
use crate::view::view;

/// Your status in a lesson, stage or roadmap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case", remote = "rules::LessonStatus")]
pub enum LessonStatus {
    /// Earlier stages must be completed first.
    Locked,
    /// You can start it.
    Available,
    /// You have started it.
    InProgress,
    /// You have completed it.
    Completed,
}

/// How a lesson is completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case", remote = "course::CompletionRule")]
pub enum CompletionRule {
    /// The learner marks the lesson as completed.
    Manual,
    /// Checking the last required task completes it.
    Tasks,
}

/// Your state in a lesson.
#[derive(Clone, Debug, Object)]
pub struct LessonState {
    /// Your status.
    pub status: LessonStatus,
    /// When you first started the lesson; null if you have not.
    pub started_at: OptionalTime,
    /// When you completed the lesson; null unless it is completed.
    pub completed_at: OptionalTime,
}

impl LessonState {
    fn new(status: rules::LessonStatus, fact: Option<Fact>) -> Self {
        Self {
            status: status.into(),
            started_at: fact.map(|fact| fact.started_at).into(),
            completed_at: fact.and_then(|fact| fact.completed_at).into(),
        }
    }
}

view! {
    /// A stage that must be completed first.
    pub struct MissingStage from StageCounts {
        /// Identifies the stage.
        stage_id: Uuid,
        /// The title of the stage.
        title: String,
        /// The number of required lessons.
        #[oai(validator(minimum(value = "1")))]
        lessons_total: i32,
        /// How many of them you have completed.
        #[oai(validator(minimum(value = "0")))]
        lessons_completed: i32,
    }
}
