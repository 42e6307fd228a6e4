//! The caller's progress in one roadmap.

use cairn_core::learning::{catalog, progress, tree};
use chrono::{DateTime, Utc};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};
use uuid::Uuid;

use super::{LessonStatus, MissingStage, example_id};
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::{App, Code, Problem};

/// The caller's progress in one roadmap.
pub struct RoadmapProgressApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[("getRoadmapProgress", &[Code::RoadmapNotFound])];

/// How far you are in a roadmap. Only its required lessons count.
#[derive(Clone, Debug, Object)]
pub struct RoadmapProgress {
    /// Your status; never `locked`.
    pub status: LessonStatus,
    /// Whole percent, rounded down, but at least 1 once anything is completed; null if there is nothing to do.
    #[oai(validator(minimum(value = "0"), maximum(value = "100")))]
    pub percent: Option<i16>,
    /// Required lessons.
    #[oai(validator(minimum(value = "0")))]
    pub lessons_total: i32,
    /// Those that you have completed.
    #[oai(validator(minimum(value = "0")))]
    pub lessons_completed: i32,
    /// Stages that have required lessons.
    #[oai(validator(minimum(value = "0")))]
    pub stages_total: i32,
    /// Those that you have completed.
    #[oai(validator(minimum(value = "0")))]
    pub stages_completed: i32,
    /// When you completed it; null unless it is completed now.
    pub completed_at: Option<DateTime<Utc>>,
    /// When you completed it for the first time. Stays when lessons are added later.
    pub achieved_at: Option<DateTime<Utc>>,
    /// The sequence number of the last change of yours that these numbers have seen.
    #[oai(validator(minimum(value = "0")))]
    pub seq: i64,
    /// Whether they have seen all of your changes.
    pub is_current: bool,
    /// Whether the content has changed and your stored numbers have not followed yet. These are counted from the content as
    /// it is now; what follows from them, such as achievements, is recorded within moments.
    pub recalculating: bool,
}

impl From<&catalog::Roadmap> for RoadmapProgress {
    fn from(roadmap: &catalog::Roadmap) -> Self {
        Self {
            status: roadmap.status.into(),
            percent: roadmap.percent,
            lessons_total: roadmap.lessons_total,
            lessons_completed: roadmap.lessons_completed,
            stages_total: roadmap.stages_total,
            stages_completed: roadmap.stages_completed,
            completed_at: roadmap.completed_at,
            achieved_at: roadmap.achieved_at,
            seq: roadmap.seq,
            is_current: roadmap.is_current,
            recalculating: roadmap.is_recalculating,
        }
    }
}

impl Example for RoadmapProgress {
    fn example() -> Self {
        Self {
            status: LessonStatus::InProgress,
            percent: Some(33),
            lessons_total: 3,
            lessons_completed: 1,
            stages_total: 2,
            stages_completed: 1,
            completed_at: None,
            achieved_at: None,
            seq: 2,
            is_current: true,
            recalculating: false,
        }
    }
}

/// How far you are in a stage. Only its required lessons count.
#[derive(Clone, Debug, Object)]
pub struct StageProgress {
    /// Your status.
    pub status: LessonStatus,
    /// Whole percent, rounded down, but at least 1 once anything is completed; null if there is nothing to do.
    #[oai(validator(minimum(value = "0"), maximum(value = "100")))]
    pub percent: Option<i16>,
    /// Required lessons.
    #[oai(validator(minimum(value = "0")))]
    pub lessons_total: i32,
    /// Those that you have completed.
    #[oai(validator(minimum(value = "0")))]
    pub lessons_completed: i32,
    /// When you completed it; null unless it is completed now.
    pub completed_at: Option<DateTime<Utc>>,
    /// When you completed it for the first time. Stays when lessons are added later.
    pub achieved_at: Option<DateTime<Utc>>,
    /// Why it is locked: the earlier stages that are not completed. Empty unless it is locked.
    pub locked_by: Vec<MissingStage>,
}

impl From<tree::Stage> for StageProgress {
    fn from(stage: tree::Stage) -> Self {
        Self {
            status: stage.status.into(),
            percent: stage.percent,
            lessons_total: stage.lessons_total,
            lessons_completed: stage.lessons_completed,
            completed_at: stage.completed_at,
            achieved_at: stage.achieved_at,
            locked_by: stage.missing.into_iter().map(MissingStage::from).collect(),
        }
    }
}

impl Example for StageProgress {
    fn example() -> Self {
        Self {
            status: LessonStatus::Completed,
            percent: Some(100),
            lessons_total: 1,
            lessons_completed: 1,
            completed_at: Some(DateTime::UNIX_EPOCH),
            achieved_at: Some(DateTime::UNIX_EPOCH),
            locked_by: Vec::new(),
        }
    }
}

/// Your progress in one stage.
#[derive(Clone, Debug, Object)]
pub struct StageNumbers {
    /// The stage.
    pub stage_id: Uuid,
    /// How far you are.
    #[oai(flatten)]
    pub progress: StageProgress,
}

/// Your progress in one roadmap and its stages.
#[derive(Clone, Debug, Object)]
#[oai(example)]
pub struct RoadmapNumbers {
    /// The roadmap.
    pub roadmap_id: Uuid,
    /// How far you are.
    #[oai(flatten)]
    pub progress: RoadmapProgress,
    /// Its stages, in order.
    pub stages: Vec<StageNumbers>,
}

impl Example for RoadmapNumbers {
    fn example() -> Self {
        let stage = StageNumbers { stage_id: example_id(3), progress: StageProgress::example() };
        Self { roadmap_id: example_id(2), progress: RoadmapProgress::example(), stages: vec![stage] }
    }
}

#[OpenApi]
impl RoadmapProgressApi {
    /// Get my progress in a roadmap
    ///
    /// After a change, send its sequence number as `min_seq`: the answer then waits, up to a second, until the numbers
    /// have seen it. Look at `is_current` to know whether they have.
    #[oai(
        path = "/roadmaps/:roadmap_id/progress",
        method = "get",
        operation_id = "getRoadmapProgress",
        tag = Tag::Roadmaps
    )]
    async fn get_roadmap_progress(
        &self,
        caller: Member,
        /// The roadmap.
        roadmap_id: Path<Uuid>,
        /// The sequence number to wait for.
        #[oai(validator(minimum(value = "0")))]
        min_seq: Query<Option<i64>>,
    ) -> Result<Json<RoadmapNumbers>, Problem> {
        if let Some(min_seq) = min_seq.0 {
            progress::wait_for(&self.app.db, &caller, roadmap_id.0, min_seq).await?;
        }
        let mut snapshot = self.app.snapshot().await?;
        let mut roadmap = catalog::find_roadmap(&mut snapshot, &caller, roadmap_id.0)
            .await?
            .ok_or_else(Problem::roadmap_not_found)?;
        roadmap.is_current &= roadmap.seq >= min_seq.0.unwrap_or(0);
        let stages = tree::stages(&mut snapshot, &caller, &roadmap).await?;
        Ok(Json(RoadmapNumbers {
            roadmap_id: roadmap.id,
            progress: RoadmapProgress::from(&roadmap),
            stages: stages
                .into_iter()
                .map(|stage| StageNumbers { stage_id: stage.id, progress: stage.into() })
                .collect(),
        }))
    }
}
