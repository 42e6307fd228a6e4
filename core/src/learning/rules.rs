//! The states of lessons, stages and roadmaps, and why a stage is locked.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The state of a lesson, stage or roadmap for one learner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type)]
#[sqlx(type_name = "lesson_status", rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum LessonStatus {
    /// Something earlier has to be completed first.
    Locked,
    /// Can be started.
    Available,
    /// Started, not completed.
    InProgress,
    /// Completed.
    Completed,
}

/// A stage's required, visible lessons, and how many of them the learner completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StageCounts {
    /// The stage.
    pub stage_id: Uuid,
    /// Its title.
    pub title: String,
    /// Required lessons; 0 = the stage blocks nobody and counts for nothing.
    pub lessons_total: i32,
    /// Those completed.
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

/// The stages that keep `stages[index]` locked: the earlier ones that count and are not completed. Empty = it is open.
///
/// `stages` are the visible stages of one roadmap, in order. In a roadmap that is not sequential nothing is locked, and a
/// completed stage stays open whatever happens before it.
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
    fn a_stage_waits_for_every_earlier_stage_that_counts() {
        assert_eq!(missing(true, &[(0, 2), (0, 2)], 0), [0; 0], "the first is open");
        assert_eq!(missing(true, &[(1, 2), (0, 2)], 1), [0]);
        assert_eq!(missing(true, &[(2, 2), (0, 2)], 1), [0; 0], "completed");
        assert_eq!(missing(true, &[(1, 2), (2, 2), (0, 1), (0, 2)], 3), [0, 2], "only the missing are named");
        assert_eq!(missing(true, &[(0, 0), (0, 2)], 1), [0; 0], "an empty stage blocks nobody");
        assert_eq!(missing(true, &[(1, 2), (0, 0)], 1), [0], "but it is locked like any other");
    }

    #[test]
    fn nothing_locks_what_is_completed_or_not_sequential() {
        assert_eq!(missing(false, &[(0, 2), (0, 2)], 1), [0; 0]);
        assert_eq!(missing(true, &[(0, 2), (3, 3)], 1), [0; 0]);
        assert_eq!(missing(true, &[(0, 2), (3, 3), (0, 1)], 2), [0]);
    }
}
