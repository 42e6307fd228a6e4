//! Roadmaps, with the caller's progress.

use cairn_core::learning::{catalog, tree};
use poem_openapi::param::{Path, Query};
use poem_openapi::{Object, OpenApi};
use uuid::Uuid;

use super::roadmap_progress::{RoadmapProgress, StageProgress};
use super::{CompletionRule, LessonState};
use crate::answers::Tagged;
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::params::{Cursor, Limit, Page, PageRequest};
use crate::view::view;
use crate::{App, Problem};

/// Roadmaps.
pub struct RoadmapsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

/// A roadmap as everybody sees it.
#[derive(Clone, Debug, Object)]
pub struct RoadmapContent {
    /// Identifies the roadmap.
    pub id: Uuid,
    /// The name in URLs.
    pub slug: String,
    /// The title.
    pub title: String,
    /// A summary in a sentence or two.
    pub summary: String,
    /// Whether a stage is locked until the earlier ones are completed.
    pub is_sequential: bool,
}

/// A roadmap with your progress.
#[derive(Clone, Debug, Object)]
pub struct Roadmap {
    /// The roadmap itself.
    #[oai(flatten)]
    pub content: RoadmapContent,
    /// Your progress.
    #[oai(flatten)]
    pub progress: RoadmapProgress,
}

impl From<catalog::Roadmap> for Roadmap {
    fn from(roadmap: catalog::Roadmap) -> Self {
        Self {
            progress: RoadmapProgress::from(&roadmap.numbers),
            content: RoadmapContent {
                id: roadmap.id,
                slug: roadmap.slug,
                title: roadmap.title,
                summary: roadmap.summary,
                is_sequential: roadmap.is_sequential,
            },
        }
    }
}

view! {
    /// A lesson in a stage as everybody sees it.
    pub struct StageLessonContent from tree::StageLesson {
        /// Identifies the lesson.
        id: Uuid,
        /// The name in URLs.
        slug: String,
        /// The title.
        title: String,
        /// A summary in a sentence or two.
        summary: String,
        /// The estimated duration, in minutes.
        #[oai(validator(minimum(value = "1")))]
        duration_minutes: i32,
        /// How the lesson is completed.
        completion: CompletionRule,
        /// Whether the lesson is required to complete the stage.
        is_required: bool,
    }
}

/// Your state in a lesson of a stage.
#[derive(Clone, Debug, Object)]
pub struct StageLessonState {
    /// Whether the lesson is locked: all stages that contain it are locked for you.
    pub is_locked: bool,
    /// Your state.
    #[oai(flatten)]
    pub state: LessonState,
}

/// A lesson in a stage, with your state. The content is at `/v1/lessons/{lesson_id}`.
#[derive(Clone, Debug, Object)]
pub struct StageLesson {
    /// The lesson itself.
    #[oai(flatten)]
    pub content: StageLessonContent,
    /// Your state.
    #[oai(flatten)]
    pub state: StageLessonState,
}

/// A stage as everybody sees it.
#[derive(Clone, Debug, Object)]
pub struct StageContent {
    /// Identifies the stage.
    pub id: Uuid,
    /// The name in URLs, unique in the roadmap.
    pub slug: String,
    /// The title.
    pub title: String,
    /// A summary in a sentence or two.
    pub summary: String,
}

/// A stage of a roadmap, with your progress.
#[derive(Clone, Debug, Object)]
pub struct Stage {
    /// The stage itself.
    #[oai(flatten)]
    pub content: StageContent,
    /// Your progress.
    #[oai(flatten)]
    pub progress: StageProgress,
    /// The lessons, in order.
    pub lessons: Vec<StageLesson>,
}

/// A roadmap with its stages and lessons, in order, with your progress.
#[derive(Clone, Debug, Object)]
pub struct RoadmapTree {
    /// The roadmap itself.
    #[oai(flatten)]
    pub roadmap: Roadmap,
    /// The stages, in order.
    pub stages: Vec<Stage>,
}

#[OpenApi]
impl RoadmapsApi {
    /// List roadmaps with my progress
    ///
    /// Those that are published, in the order that admins gave them.
    #[oai(path = "/roadmaps", method = "get", operation_id = "listRoadmaps", tag = Tag::Roadmaps)]
    async fn list_roadmaps(
        &self,
        caller: Member,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Tagged<Page<Roadmap>>, Problem> {
        let page = PageRequest::new(limit.0, cursor.0);
        let mut connection = self.app.connection().await?;
        let rows = catalog::roadmaps(&mut connection, &caller, page.after()?, page.rows()).await?;
        Ok(page.answer(rows, |last| Some((last.position, last.id)))?.into())
    }

    /// Get a roadmap with its stages and lessons
    ///
    /// The progress of the roadmap and its stages follows your actions within moments (see `is_current`); the state of
    /// each lesson is always up to date. The answer describes one version of the content, also while `is_recalculating`
    /// is true.
    #[oai(path = "/roadmaps/:roadmap_id", method = "get", operation_id = "getRoadmap", tag = Tag::Roadmaps)]
    async fn get_roadmap(
        &self,
        caller: Member,
        /// The roadmap.
        roadmap_id: Path<Uuid>,
    ) -> Result<Tagged<RoadmapTree>, Problem> {
        let (tree, progress) = self.app.tree(&caller, roadmap_id.0).await?;
        Ok(tree.with(&progress))
    }
}
