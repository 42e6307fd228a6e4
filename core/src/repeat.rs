//! Whether work that failed can be done again from its start: it can as long as it has committed nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

tokio::task_local! {
    static COMMITS: Commits;
}

/// The commits of a piece of work, which are counted when they begin. Cheap to clone; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Commits(Arc<AtomicU32>);

impl Commits {
    /// Counts the commits of `work`, apart from those of tasks that it spawns.
    pub async fn count_in<F: Future>(&self, work: F) -> F::Output {
        COMMITS.scope(self.clone(), work).await
    }

    /// Whether nothing has been committed, and nothing may have been.
    pub fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }
}

/// A commit begins: from now on it may have taken place.
pub(crate) fn commit_begins() {
    let _ = COMMITS.try_with(|commits| commits.0.fetch_add(1, Ordering::Relaxed)); // nobody counts outside of requests
}

/// The database has refused the commit that has begun, and rolled everything back.
pub(crate) fn commit_was_refused() {
    let _ = COMMITS.try_with(|commits| commits.0.fetch_sub(1, Ordering::Relaxed)); // as above
}
