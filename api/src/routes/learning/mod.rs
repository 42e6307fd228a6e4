//! Learning: roadmaps, modules, lessons, and what a learner does with them.

pub mod completion;
pub mod lessons;
pub mod modules;
pub mod progress;
pub mod roadmap_progress;
pub mod roadmaps;
pub mod tasks;

use cairn_core::learning::course;
use cairn_core::learning::lessons::Fact;
use cairn_core::learning::rules::{self, StageCounts};
use chrono::{DateTime, Utc};
use poem_openapi::types::Example;
use poem_openapi::{Enum, Object};
use uuid::Uuid;

/// How far you are with a lesson, stage or roadmap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub enum LessonStatus {
    /// Earlier stages have to be completed first.
    Locked,
    /// You can start it.
    Available,
    /// You have started it.
    InProgress,
    /// You have completed it.
    Completed,
}

impl From<rules::LessonStatus> for LessonStatus {
    fn from(status: rules::LessonStatus) -> Self {
        match status {
            rules::LessonStatus::Locked => Self::Locked,
            rules::LessonStatus::Available => Self::Available,
            rules::LessonStatus::InProgress => Self::InProgress,
            rules::LessonStatus::Completed => Self::Completed,
        }
    }
}

/// How a lesson is completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub enum CompletionRule {
    /// You say when you are done.
    Manual,
    /// Checking the last required task completes it.
    Tasks,
}

impl From<course::CompletionRule> for CompletionRule {
    fn from(rule: course::CompletionRule) -> Self {
        match rule {
            course::CompletionRule::Manual => Self::Manual,
            course::CompletionRule::Tasks => Self::Tasks,
        }
    }
}

/// How far you are with a lesson.
#[derive(Clone, Debug, Object)]
pub struct LessonState {
    /// Your status.
    pub status: LessonStatus,
    /// When you first started it.
    pub started_at: Option<DateTime<Utc>>,
    /// When you completed it; null unless it is completed.
    pub completed_at: Option<DateTime<Utc>>,
}

impl LessonState {
    fn new(status: rules::LessonStatus, fact: Option<Fact>) -> Self {
        Self {
            status: status.into(),
            started_at: fact.map(|fact| fact.started_at),
            completed_at: fact.and_then(|fact| fact.completed_at),
        }
    }
}

/// A stage that has to be completed first.
#[derive(Clone, Debug, Object)]
#[oai(example)]
pub struct MissingStage {
    /// The stage.
    pub stage_id: Uuid,
    /// Its title.
    pub title: String,
    /// Its required lessons.
    #[oai(validator(minimum(value = "1")))]
    pub lessons_total: i32,
    /// Those that you have completed.
    #[oai(validator(minimum(value = "0")))]
    pub lessons_completed: i32,
}

impl Example for MissingStage {
    fn example() -> Self {
        Self { stage_id: example_id(5), title: "First steps".to_owned(), lessons_total: 6, lessons_completed: 4 }
    }
}

impl From<StageCounts> for MissingStage {
    fn from(stage: StageCounts) -> Self {
        Self {
            stage_id: stage.stage_id,
            title: stage.title,
            lessons_total: stage.lessons_total,
            lessons_completed: stage.lessons_completed,
        }
    }
}

/// An id for examples.
const fn example_id(n: u128) -> Uuid {
    Uuid::from_u128(0x0198_c2f0_7a53_7cc1_9d2e_3f6b_8a1c_6000 + n)
}
