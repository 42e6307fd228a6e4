//! The roadmaps that this process has read, as JSON.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use cairn_core::learning::tree::Content;
use uuid::Uuid;

/// How long a tree is kept at most. It is checked whenever it is used, so this only bounds what is not used any more, and
/// how long the ids of transactions are remembered (see `catalog_changes`).
const LIFETIME: Duration = Duration::from_mins(1);
/// The number of trees that are kept. A tree of 60 lessons takes about 40 kB.
const CAPACITY: usize = 200;

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
        if trees.len() < CAPACITY || trees.contains_key(&tree.content.id) {
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
