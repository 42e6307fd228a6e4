//! A learner's progress counted from the facts, by the rules that the SQL function `count_roadmaps` follows.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::lessons::Fact;
use super::rules::LessonStatus;
use super::tree::{Content, Stage};

/// What the facts say about a stage.
#[derive(Debug)]
pub(super) struct StageCount {
    pub(super) status: LessonStatus,
    pub(super) lessons_total: i32,
    pub(super) lessons_completed: i32,
    /// When the last required lesson was completed; `None` unless all are.
    pub(super) completed_at: Option<DateTime<Utc>>,
    is_started: bool,
}

/// What the facts say about a roadmap.
#[derive(Debug)]
pub(super) struct RoadmapCount {
    pub(super) status: LessonStatus,
    pub(super) lessons_total: i32,
    pub(super) lessons_completed: i32,
    pub(super) stages_total: i32,
    pub(super) stages_completed: i32,
    /// When the last stage was completed; `None` unless all are.
    pub(super) completed_at: Option<DateTime<Utc>>,
}

/// Counts each stage of the content, in order.
pub(super) fn count_stages(content: &Content, facts: &HashMap<Uuid, Fact>) -> Vec<StageCount> {
    let mut is_blocked = false;
    let counts = content.stages.iter().map(|stage| {
        let count = count_stage(stage, facts, is_blocked);
        is_blocked |= content.is_sequential && count.lessons_completed < count.lessons_total;
        count
    });
    counts.collect()
}

/// `is_blocked` says that an earlier stage must be completed first.
fn count_stage(stage: &Stage, facts: &HashMap<Uuid, Fact>, is_blocked: bool) -> StageCount {
    let (mut total, mut completed, mut is_started, mut last) = (0, 0, false, None);
    for lesson in &stage.lessons {
        let fact = facts.get(&lesson.id);
        is_started |= fact.is_some();
        if lesson.is_required {
            total += 1;
            if let Some(fact) = fact.filter(|fact| fact.status == LessonStatus::Completed) {
                completed += 1;
                last = last.max(fact.completed_at);
            }
        }
    }
    let status = if total > 0 && completed == total {
        LessonStatus::Completed
    } else if is_blocked {
        LessonStatus::Locked
    } else if is_started {
        LessonStatus::InProgress
    } else {
        LessonStatus::Available
    };
    let completed_at = last.filter(|_| completed == total);
    StageCount { status, lessons_total: total, lessons_completed: completed, completed_at, is_started }
}

/// Adds up the stages of a roadmap.
pub(super) fn count_roadmap(stages: &[StageCount]) -> RoadmapCount {
    let total = stages.iter().map(|stage| stage.lessons_total).sum();
    let completed = stages.iter().map(|stage| stage.lessons_completed).sum();
    let status = if total > 0 && completed == total {
        LessonStatus::Completed
    } else if stages.iter().any(|stage| stage.is_started) {
        LessonStatus::InProgress
    } else {
        LessonStatus::Available
    };
    RoadmapCount {
        status,
        lessons_total: total,
        lessons_completed: completed,
        stages_total: stages.iter().map(|stage| i32::from(stage.lessons_total > 0)).sum(),
        stages_completed: stages.iter().map(|stage| i32::from(stage.status == LessonStatus::Completed)).sum(),
        completed_at: stages.iter().filter_map(|stage| stage.completed_at).max().filter(|_| completed == total),
    }
}
