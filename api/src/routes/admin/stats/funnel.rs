//! How far learners get in a roadmap.

use cairn_core::stats::funnel;
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use uuid::Uuid;

use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::view::view;
use crate::{App, Problem};

/// How far learners get in a roadmap.
pub struct FunnelApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

view! {
    /// A stage, and how many learners got there.
    pub struct FunnelStage from funnel::FunnelStage {
        /// Identifies the stage.
        stage_id: Uuid,
        /// The title.
        title: String,
        /// The number of learners who have started the stage.
        started: i64,
        /// The number of learners who have completed the stage, and everything that was added to it since.
        completed: i64,
        /// The number of learners who have started no later stage, and have not completed the roadmap.
        stopped: i64,
    }
}

/// How far learners get in a roadmap.
#[derive(Clone, Debug, Object)]
pub struct Funnel {
    /// The published stages, in order.
    pub stages: Vec<FunnelStage>,
}

#[OpenApi]
impl FunnelApi {
    /// Get the funnel of a roadmap
    ///
    /// How many learners started and completed each stage, and where they stopped.
    #[oai(
        path = "/admin/stats/roadmaps/:roadmap_id/funnel",
        method = "get",
        operation_id = "getFunnel",
        tag = Tag::Statistics
    )]
    async fn get_funnel(
        &self,
        _caller: Admin,
        /// The roadmap.
        roadmap_id: Path<Uuid>,
    ) -> Result<Json<Funnel>, Problem> {
        let mut snapshot = self.app.snapshot().await?;
        let stages = funnel::of_roadmap(&mut snapshot, roadmap_id.0).await?;
        Ok(Json(Funnel { stages: stages.into_iter().map(Into::into).collect() }))
    }
}
