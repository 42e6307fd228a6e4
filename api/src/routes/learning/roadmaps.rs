//! Roadmaps, with the caller's progress.

use std::collections::HashMap;

use cairn_core::learning::{catalog, tree};
use chrono::DateTime;
use poem_openapi::param::{Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};
use uuid::Uuid;

use super::roadmap_progress::{RoadmapProgress, StageProgress};
use super::{CompletionRule, LessonState, LessonStatus, example_id};
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::params::{Cursor, Limit, Page, PageRequest};
use crate::{App, Code, Problem};

/// Roadmaps.
pub struct RoadmapsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[("listRoadmaps", &[]), ("getRoadmap", &[Code::RoadmapNotFound])];

/// A way through lessons, with your progress.
#[derive(Clone, Debug, Object)]
pub struct Roadmap {
    /// The roadmap's id.
    pub id: Uuid,
    /// Its name in addresses.
    pub slug: String,
    /// Its title.
    pub title: String,
    /// What it leads to.
    pub summary: String,
    /// Whether a stage opens only when the earlier ones are completed.
    pub is_sequential: bool,
    /// How far you are.
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

impl Example for Roadmap {
    fn example() -> Self {
        Self {
            id: example_id(2),
            slug: "first-web-page".to_owned(),
            title: "Your first web page".to_owned(),
            summary: "From an empty file to a page that others can open.".to_owned(),
            is_sequential: true,
            progress: RoadmapProgress::example(),
        }
    }
}

/// A lesson in a stage, with your state. Its content is at `/v1/lessons/{lesson_id}`.
#[derive(Clone, Debug, Object)]
pub struct StageLesson {
    /// The lesson's id.
    pub id: Uuid,
    /// Its name in addresses.
    pub slug: String,
    /// Its title.
    pub title: String,
    /// What it is about.
    pub summary: String,
    /// How long it takes, in minutes.
    #[oai(validator(minimum(value = "1")))]
    pub duration_minutes: i32,
    /// How it is completed.
    pub completion: CompletionRule,
    /// Whether it counts here.
    pub is_required: bool,
    /// Whether it is locked: no stage that it stands in is open for you.
    pub locked: bool,
    /// How far you are.
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
            locked: lesson.is_locked,
        }
    }
}

/// A stage of a roadmap, with your progress.
#[derive(Clone, Debug, Object)]
pub struct Stage {
    /// The stage's id.
    pub id: Uuid,
    /// Its name inside the roadmap.
    pub slug: String,
    /// Its title.
    pub title: String,
    /// What it is about.
    pub summary: String,
    /// How far you are.
    #[oai(flatten)]
    pub progress: StageProgress,
    /// Its lessons, in order.
    pub lessons: Vec<StageLesson>,
}

/// A roadmap with its stages and lessons, in order, with your progress.
#[derive(Clone, Debug, Object)]
#[oai(example)]
pub struct RoadmapTree {
    /// The roadmap itself.
    #[oai(flatten)]
    pub roadmap: Roadmap,
    /// Its stages, in order.
    pub stages: Vec<Stage>,
}

impl RoadmapTree {
    fn new(roadmap: catalog::Roadmap, stages: Vec<tree::Stage>, lessons: Vec<tree::StageLesson>) -> Self {
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

impl Example for RoadmapTree {
    fn example() -> Self {
        let lesson = StageLesson {
            id: example_id(4),
            slug: "hello-html".to_owned(),
            title: "Hello, HTML".to_owned(),
            summary: "An empty file becomes a page.".to_owned(),
            duration_minutes: 15,
            completion: CompletionRule::Manual,
            is_required: true,
            locked: false,
            state: LessonState {
                status: LessonStatus::Completed,
                started_at: Some(DateTime::UNIX_EPOCH),
                completed_at: Some(DateTime::UNIX_EPOCH),
            },
        };
        let stage = Stage {
            id: example_id(3),
            slug: "start".to_owned(),
            title: "Start".to_owned(),
            summary: "Everything that you need to begin.".to_owned(),
            progress: StageProgress::example(),
            lessons: vec![lesson],
        };
        Self { roadmap: Roadmap::example(), stages: vec![stage] }
    }
}

#[OpenApi]
impl RoadmapsApi {
    /// List the roadmaps with my progress
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
    /// The status and numbers of the roadmap and its stages follow your actions within moments (see `is_current`); the
    /// state of each lesson is as of now. Everything belongs to the same content, also while it is `recalculating`.
    #[oai(path = "/roadmaps/:roadmap_id", method = "get", operation_id = "getRoadmap", tag = Tag::Roadmaps)]
    async fn get_roadmap(
        &self,
        caller: Member,
        /// The roadmap.
        roadmap_id: Path<Uuid>,
    ) -> Result<Json<RoadmapTree>, Problem> {
        let mut snapshot = self.app.snapshot().await?;
        let roadmap = catalog::find_roadmap(&mut snapshot, &caller, roadmap_id.0)
            .await?
            .ok_or_else(Problem::roadmap_not_found)?;
        let stages = tree::stages(&mut snapshot, &caller, &roadmap).await?;
        let lessons = tree::lessons(&mut snapshot, &caller, &roadmap, &stages).await?;
        Ok(Json(RoadmapTree::new(roadmap, stages, lessons)))
    }
}
