//! The status of lessons, stages and roadmaps, and the rule that locks a stage.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The status of a lesson, stage or roadmap for one learner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "lesson_status", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum LessonStatus {
    /// An earlier stage must be completed first.
    Locked,
    /// Open, and not started yet.
    Available,
    /// Started, and not completed yet.
    InProgress,
    /// Completed.
    Completed,
}

/// How many of a stage's required, visible lessons a learner completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageCounts {
    /// Identifies the stage.
    pub stage_id: Uuid,
    /// Shown to learners.
    pub title: String,
    /// The number of required lessons. A stage without any never locks a later one.
    pub lessons_total: i32,
    /// How many of them are completed.
    pub lessons_completed: i32,
}

impl StageCounts {
    fn is_completed(&self) -> bool {
        self.lessons_total > 0 && self.lessons_completed == self.lessons_total
    }

    fn is_missing(&self) -> bool {
        self.lessons_completed < self.lessons_total
    }
}

/// Whole percent of completed lessons; `None` if there are none. It is never 0 when something is completed, and 100 only when
/// everything is.
pub fn percent(completed: i32, total: i32) -> Option<i16> {
    if total == 0 {
        return None;
    }
    let percent = i64::from(completed) * 100 / i64::from(total);
    i16::try_from(percent.max(i64::from(completed > 0))).ok()
}

/// The stages that keep `stages[index]` locked: the earlier ones with required lessons that are not completed. Empty if the
/// stage is open.
///
/// `stages` are the visible stages of one roadmap, in order. In a roadmap that is not sequential nothing is locked, and a
/// completed stage stays open even if an earlier one is reopened.
pub fn missing_before(is_sequential: bool, stages: &[StageCounts], index: usize) -> Vec<StageCounts> {
    if !is_sequential || stages[index].is_completed() {
        return Vec::new();
    }
    stages[..index].iter().filter(|stage| stage.is_missing()).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stages(counts: &[(i32, i32)]) -> Vec<StageCounts> {
        let stage = |(n, &(lessons_completed, lessons_total)): (usize, &(i32, i32))| StageCounts {
            stage_id: Uuid::from_u128(n as u128),
            title: format!("Stage {n}"),
            lessons_total,
            lessons_completed,
        };
        counts.iter().enumerate().map(stage).collect()
    }

    fn missing(is_sequential: bool, counts: &[(i32, i32)], index: usize) -> Vec<u128> {
        missing_before(is_sequential, &stages(counts), index).iter().map(|stage| stage.stage_id.as_u128()).collect()
    }

    #[test]
    fn a_stage_is_locked_by_every_earlier_stage_with_open_required_lessons() {
        assert_eq!(missing(true, &[(0, 2), (0, 2)], 0), [0; 0], "the first stage is open");
        assert_eq!(missing(true, &[(1, 2), (0, 2)], 1), [0]);
        assert_eq!(missing(true, &[(2, 2), (0, 2)], 1), [0; 0], "the earlier stage is completed");
        assert_eq!(
            missing(true, &[(1, 2), (2, 2), (0, 1), (0, 2)], 3),
            [0, 2],
            "only stages that are not completed are listed"
        );
        assert_eq!(missing(true, &[(0, 0), (0, 2)], 1), [0; 0], "an empty stage locks no other");
        assert_eq!(missing(true, &[(1, 2), (0, 0)], 1), [0], "but an empty stage can be locked itself");
    }

    #[test]
    fn completed_stages_and_stages_of_free_roadmaps_are_never_locked() {
        assert_eq!(missing(false, &[(0, 2), (0, 2)], 1), [0; 0]);
        assert_eq!(missing(true, &[(0, 2), (3, 3)], 1), [0; 0]);
        assert_eq!(missing(true, &[(0, 2), (3, 3), (0, 1)], 2), [0]);
    }
}
