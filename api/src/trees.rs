//! The roadmaps that this process has read, as JSON.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use cairn_core::learning::tree::Content;
use uuid::Uuid;

/// How long a tree is kept at most. It is checked whenever it is used, so this only bounds what is not used any more, and
/// how long the ids of transactions are remembered (see `catalog_changes`).
const LIFETIME: Duration = Duration::from_mins(1);
/// How much JSON is kept at most, in bytes. That of a tree of 60 lessons is about 20 kB, and its content takes as much again.
const CAPACITY: usize = 8 * 1024 * 1024;

/// The trees that this process has read, by roadmap.
#[derive(Debug, Default)]
pub(crate) struct TreeCache(RwLock<HashMap<Uuid, (Instant, Arc<Tree>)>>);

impl TreeCache {
    pub(crate) fn get(&self, roadmap_id: Uuid) -> Option<Arc<Tree>> {
        let trees = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let (read_at, tree) = trees.get(&roadmap_id)?;
        (read_at.elapsed() < LIFETIME).then(|| Arc::clone(tree))
    }

    pub(crate) fn put(&self, read_at: Instant, tree: Arc<Tree>) {
        let mut trees = self.0.write().unwrap_or_else(PoisonError::into_inner);
        trees.retain(|_, (read_at, _)| read_at.elapsed() < LIFETIME);
        trees.remove(&tree.content.id);
        let kept: usize = trees.values().map(|(_, tree)| tree.size()).sum();
        if kept + tree.size() <= CAPACITY {
            trees.insert(tree.content.id, (read_at, tree));
        }
    }
}

/// A roadmap as everybody sees it, with the JSON of its parts: each an object without its closing brace.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) content: Content,
    pub(crate) roadmap: String,
    pub(crate) stages: Vec<StageJson>,
}

/// The JSON of a stage and its lessons.
#[derive(Debug)]
pub(crate) struct StageJson {
    pub(crate) stage: String,
    pub(crate) lessons: Vec<String>,
}

impl Tree {
    /// The length of the JSON, in bytes.
    fn size(&self) -> usize {
        let stages =
            self.stages.iter().map(|json| json.stage.len() + json.lessons.iter().map(String::len).sum::<usize>());
        self.roadmap.len() + stages.sum::<usize>()
    }
}
