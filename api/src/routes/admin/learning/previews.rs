//! Content as learners will see it, for admins.

use cairn_core::learning::preview;
use poem_openapi::OpenApi;
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use uuid::Uuid;

use crate::answers::Tagged;
use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::routes::learning::lessons::Lesson;
use crate::routes::learning::roadmaps::RoadmapTree;
use crate::trees::Tree;
use crate::{App, Problem};

/// Content as learners will see it, for admins.
pub struct PreviewsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

#[OpenApi]
impl PreviewsApi {
    /// Preview a lesson as learners will see it
    ///
    /// Whether it is published or not, open and not started. The stages include drafts.
    #[oai(
        path = "/admin/lessons/:lesson_id/preview",
        method = "get",
        operation_id = "previewLesson",
        tag = Tag::AdminContent
    )]
    async fn preview_lesson(
        &self,
        _caller: Admin,
        /// The lesson.
        lesson_id: Path<Uuid>,
    ) -> Result<Json<Lesson>, Problem> {
        let mut snapshot = self.app.snapshot().await?;
        Ok(Json(preview::lesson(&mut snapshot, lesson_id.0).await?.into()))
    }

    /// Preview a roadmap as learners will see it
    ///
    /// As if it and all of its stages and lessons were published, with every stage open and nothing started.
    #[oai(
        path = "/admin/roadmaps/:roadmap_id/preview",
        method = "get",
        operation_id = "previewRoadmap",
        tag = Tag::AdminContent
    )]
    async fn preview_roadmap(
        &self,
        _caller: Admin,
        /// The roadmap.
        roadmap_id: Path<Uuid>,
    ) -> Result<Tagged<RoadmapTree>, Problem> {
        let mut snapshot = self.app.snapshot().await?;
        let (content, progress) = preview::roadmap(&mut snapshot, roadmap_id.0).await?;
        Ok(Tree::new(content).with(&progress))
    }
}
