//! Trees of roadmaps as JSON: what everybody sees is serialised once and kept, and a learner's progress is put in.

use std::sync::Arc;
use std::time::Instant;

use cairn_core::actor::Caller;
use cairn_core::learning::tree::{self, Content};
use cairn_core::learning::tree_progress::{self, Progress};
use poem_openapi::types::ToJSON;
use uuid::Uuid;

use super::LessonState;
use super::roadmap_progress::{RoadmapProgress, StageProgress};
use super::roadmaps::{RoadmapContent, RoadmapTree, StageContent, StageLessonContent, StageLessonState};
use crate::answers::Tagged;
use crate::trees::{StageJson, Tree};
use crate::{App, Problem};

impl App {
    /// A visible roadmap with a learner's progress: by one statement if the roadmap was read before and no content has
    /// changed since.
    pub(crate) async fn tree(&self, learner: &Caller, roadmap_id: Uuid) -> Result<(Arc<Tree>, Progress), Problem> {
        if let Some(tree) = self.trees.get(roadmap_id) {
            let mut connection = self.connection().await?;
            if let Some(progress) = tree_progress::progress(&mut connection, learner, &tree.content).await? {
                return Ok((tree, progress));
            }
        }
        let read_at = Instant::now();
        let mut snapshot = self.snapshot().await?;
        let content = tree::content(&mut snapshot, roadmap_id).await?;
        let progress = tree_progress::progress(&mut snapshot, learner, &content).await?;
        let progress = progress.ok_or_else(|| cairn_core::Error::message("content changed within its snapshot"))?;
        let tree = Arc::new(Tree::new(content));
        self.trees.put(read_at, Arc::clone(&tree));
        Ok((tree, progress))
    }
}

impl Tree {
    /// Serialises the content.
    pub(crate) fn new(content: Content) -> Self {
        let roadmap = RoadmapContent {
            id: content.id,
            slug: content.slug.clone(),
            title: content.title.clone(),
            summary: content.summary.clone(),
            is_sequential: content.is_sequential,
        };
        let stages = content.stages.iter().map(|stage| StageJson {
            stage: open_object(&StageContent {
                id: stage.id,
                slug: stage.slug.clone(),
                title: stage.title.clone(),
                summary: stage.summary.clone(),
            }),
            lessons: stage
                .lessons
                .iter()
                .map(|lesson| open_object(&StageLessonContent::from(lesson.clone())))
                .collect(),
        });
        Self { roadmap: open_object(&roadmap), stages: stages.collect(), content }
    }

    /// The whole tree with that progress.
    pub(crate) fn with(&self, progress: &Progress) -> Tagged<RoadmapTree> {
        // Most lessons are not started, and what is said about those depends on nothing else.
        let state = |lesson_id| StageLessonState {
            is_locked: progress.locked.contains(&lesson_id),
            state: LessonState::new(progress.status(lesson_id), progress.facts.get(&lesson_id).copied()),
        };
        let mut of_not_started: [Option<String>; 2] = [None, None];
        let mut json = String::with_capacity(16 * 1024);
        json.push_str(&self.roadmap);
        json.push_str(&members(&RoadmapProgress::from(&progress.roadmap)));
        json.push_str(",\"stages\":[");
        for (n, (stage, numbers)) in self.content.stages.iter().zip(&progress.stages).enumerate() {
            let parts = &self.stages[n];
            json.push_str(if n > 0 { "," } else { "" });
            json.push_str(&parts.stage);
            json.push_str(&members(&StageProgress::from(numbers)));
            json.push_str(",\"lessons\":[");
            for (n, (lesson, part)) in stage.lessons.iter().zip(&parts.lessons).enumerate() {
                json.push_str(if n > 0 { "," } else { "" });
                json.push_str(part);
                if progress.facts.contains_key(&lesson.id) {
                    json.push_str(&members(&state(lesson.id)));
                } else {
                    let known = &mut of_not_started[usize::from(progress.locked.contains(&lesson.id))];
                    json.push_str(known.get_or_insert_with(|| members(&state(lesson.id))));
                }
                json.push('}');
            }
            json.push_str("]}");
        }
        json.push_str("]}");
        Tagged::serialised(json)
    }
}

/// An object as JSON without its closing brace.
fn open_object(object: &impl ToJSON) -> String {
    let mut json = object.to_json_string();
    json.pop();
    json
}

/// The members of an object, to be added to an open one.
fn members(object: &impl ToJSON) -> String {
    let mut json = open_object(object);
    json.replace_range(..1, ",");
    json
}
