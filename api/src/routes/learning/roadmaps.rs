//! Roadmaps, with the caller's progress.

use std::collections::HashMap;

use cairn_core::learning::{catalog, tree};
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use uuid::Uuid;

use super::roadmap_progress::{RoadmapProgress, StageProgress};
use super::{CompletionRule, LessonState};
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::params::{Cursor, Limit, Page, PageRequest};
use crate::{App, Problem};

/// Roadmaps.
pub struct RoadmapsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

/// A roadmap with your progress.
#[derive(Clone, Debug, Object)]
pub struct Roadmap {
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
    /// Your progress.
    #[oai(flatten)]
    pub progress: RoadmapProgress,
}

impl From<catalog::Roadmap> for Roadmap {
    fn from(roadmap: catalog::Roadmap) -> Self {
        Self {
            progress: RoadmapProgress::from(&roadmap),
            id: roadmap.id,
            slug: roadmap.slug,
            title: roadmap.title,
            summary: roadmap.summary,
            is_sequential: roadmap.is_sequential,
        }
    }
}

/// A lesson in a stage, with your state. The content is at `/v1/lessons/{lesson_id}`.
#[derive(Clone, Debug, Object)]
pub struct StageLesson {
    /// Identifies the lesson.
    pub id: Uuid,
    /// The name in URLs.
    pub slug: String,
    /// The title.
    pub title: String,
    /// A summary in a sentence or two.
    pub summary: String,
    /// The estimated duration, in minutes.
    #[oai(validator(minimum(value = "1")))]
    pub duration_minutes: i32,
    /// How the lesson is completed.
    pub completion: CompletionRule,
    /// Whether the lesson is required to complete the stage.
    pub is_required: bool,
    /// Whether the lesson is locked: all stages that contain it are locked for you.
    pub is_locked: bool,
    /// Your state.
    #[oai(flatten)]
    pub state: LessonState,
}

impl From<tree::StageLesson> for StageLesson {
    fn from(lesson: tree::StageLesson) -> Self {
        Self {
            state: LessonState::new(lesson.status(), lesson.fact),
            id: lesson.id,
            slug: lesson.slug,
            title: lesson.title,
            summary: lesson.summary,
            duration_minutes: lesson.duration_minutes,
            completion: lesson.completion.into(),
            is_required: lesson.is_required,
            is_locked: lesson.is_locked,
        }
    }
}

/// A stage of a roadmap, with your progress.
#[derive(Clone, Debug, Object)]
pub struct Stage {
    /// Identifies the stage.
    pub id: Uuid,
    /// The name in URLs, unique in the roadmap.
    pub slug: String,
    /// The title.
    pub title: String,
    /// A summary in a sentence or two.
    pub summary: String,
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

impl RoadmapTree {
    pub(super) fn new(roadmap: catalog::Roadmap, stages: Vec<tree::Stage>, lessons: Vec<tree::StageLesson>) -> Self {
        let mut by_stage: HashMap<Uuid, Vec<StageLesson>> = HashMap::new();
        for lesson in lessons {
            by_stage.entry(lesson.stage_id).or_default().push(lesson.into());
        }
        let stages = stages.into_iter().map(|stage| Stage {
            id: stage.id,
            slug: stage.slug.clone(),
            title: stage.title.clone(),
            summary: stage.summary.clone(),
            lessons: by_stage.remove(&stage.id).unwrap_or_default(),
            progress: stage.into(),
        });
        Self { stages: stages.collect(), roadmap: roadmap.into() }
    }
}

#[OpenApi]
impl RoadmapsApi {
    /// List roadmaps with my progress
    #[oai(path = "/roadmaps", method = "get", operation_id = "listRoadmaps", tag = Tag::Roadmaps)]
    async fn list_roadmaps(
        &self,
        caller: Member,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<Roadmap>>, Problem> {
        let page = PageRequest::new(limit.0, cursor.0);
        let mut connection = self.app.connection().await?;
        let rows = catalog::roadmaps(&mut connection, &caller, page.after()?, page.rows()).await?;
        page.answer(rows, |last| Some((last.position, last.id)))
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
    ) -> Result<Json<RoadmapTree>, Problem> {
        let mut snapshot = self.app.snapshot().await?;
        let roadmap = catalog::find_roadmap(&mut snapshot, &caller, roadmap_id.0).await?;
        let stages = tree::stages(&mut snapshot, &caller, &roadmap).await?;
        let lessons = tree::lessons(&mut snapshot, &caller, &roadmap, &stages).await?;
        Ok(Json(RoadmapTree::new(roadmap, stages, lessons)))
    }
}
