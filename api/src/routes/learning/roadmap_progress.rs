//! The caller's progress in one roadmap.

use cairn_core::learning::{catalog, progress, tree_progress};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use uuid::Uuid;

use super::{LessonStatus, MissingStage};
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::time::OptionalTime;
use crate::view::view;
use crate::{App, Problem};

/// The caller's progress in one roadmap.
pub struct RoadmapProgressApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

view! {
    /// Your progress in a roadmap. Only required lessons count.
    pub struct RoadmapProgress from &catalog::RoadmapNumbers {
        /// Your status; never `locked`.
        status: LessonStatus,
        /// The completed share of the required lessons, in whole percent, rounded down, but at least 1 once a lesson is
        /// completed; null if there are no required lessons.
        #[oai(validator(minimum(value = "0"), maximum(value = "100")))]
        percent: Option<i16>,
        /// The number of required lessons.
        #[oai(validator(minimum(value = "0")))]
        lessons_total: i32,
        /// How many of them you have completed.
        #[oai(validator(minimum(value = "0")))]
        lessons_completed: i32,
        /// The number of stages that have required lessons.
        #[oai(validator(minimum(value = "0")))]
        stages_total: i32,
        /// How many of them you have completed.
        #[oai(validator(minimum(value = "0")))]
        stages_completed: i32,
        /// When you completed it; null unless it is completed now.
        completed_at: OptionalTime,
        /// When you first completed it; null if you never have. It stays when lessons are added later.
        achieved_at: OptionalTime,
        /// The sequence number of the last change of yours that is included.
        #[oai(validator(minimum(value = "0")))]
        seq: i64,
        /// Whether all of your changes are included.
        is_current: bool,
        /// Whether the content has changed and your stored progress is still being updated. The answer already follows the new
        /// content; what depends on the stored progress, such as achievements, is recorded within moments.
        is_recalculating: bool,
    }
}

/// Your progress in a stage. Only required lessons count.
#[derive(Clone, Debug, Object)]
pub struct StageProgress {
    /// Your status.
    pub status: LessonStatus,
    /// The completed share of the required lessons, in whole percent, rounded down, but at least 1 once a lesson is
    /// completed; null if there are no required lessons.
    #[oai(validator(minimum(value = "0"), maximum(value = "100")))]
    pub percent: Option<i16>,
    /// The number of required lessons.
    #[oai(validator(minimum(value = "0")))]
    pub lessons_total: i32,
    /// How many of them you have completed.
    #[oai(validator(minimum(value = "0")))]
    pub lessons_completed: i32,
    /// When you completed it; null unless it is completed now.
    pub completed_at: OptionalTime,
    /// When you first completed it; null if you never have. It stays when lessons are added later.
    pub achieved_at: OptionalTime,
    /// The earlier stages that you have not completed; empty unless the stage is locked.
    pub locked_by: Vec<MissingStage>,
}

impl From<&tree_progress::StageNumbers> for StageProgress {
    fn from(stage: &tree_progress::StageNumbers) -> Self {
        Self {
            status: stage.status.into(),
            percent: stage.percent,
            lessons_total: stage.lessons_total,
            lessons_completed: stage.lessons_completed,
            completed_at: stage.completed_at.into(),
            achieved_at: stage.achieved_at.into(),
            locked_by: stage.missing.iter().cloned().map(MissingStage::from).collect(),
        }
    }
}

/// Your progress in one stage.
#[derive(Clone, Debug, Object)]
pub struct StageNumbers {
    /// Identifies the stage.
    pub stage_id: Uuid,
    /// Your progress.
    #[oai(flatten)]
    pub progress: StageProgress,
}

/// Your progress in one roadmap and its stages.
#[derive(Clone, Debug, Object)]
pub struct RoadmapNumbers {
    /// Identifies the roadmap.
    pub roadmap_id: Uuid,
    /// Your progress.
    #[oai(flatten)]
    pub progress: RoadmapProgress,
    /// The stages, in order.
    pub stages: Vec<StageNumbers>,
}

#[OpenApi]
impl RoadmapProgressApi {
    /// Get my progress in a roadmap
    ///
    /// After a change, send its sequence number as `min_seq`: the answer then waits, up to a second, until the change is
    /// included. `is_current` says whether it is.
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
        let (tree, mut progress) = self.app.tree(&caller, roadmap_id.0).await?;
        progress.roadmap.is_current &= progress.roadmap.seq >= min_seq.0.unwrap_or(0);
        let stages = tree.content.stages.iter().zip(&progress.stages);
        Ok(Json(RoadmapNumbers {
            roadmap_id: roadmap_id.0,
            progress: RoadmapProgress::from(&progress.roadmap),
            stages: stages
                .map(|(stage, numbers)| StageNumbers { stage_id: stage.id, progress: numbers.into() })
                .collect(),
        }))
    }
}
