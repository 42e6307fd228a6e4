//! The rollup: its markers, jobs and rows.

mod concurrency;
mod plans;
mod property;
mod recompute;
mod reconcile;

use cairn_core::db::Db;
use cairn_core::learning::jobs::RecomputeRoadmap;
use cairn_core::learning::recompute::recompute_chunk;
use cairn_core::learning::rollup::{Pair, Skip, roll_up};
use cairn_core::queue::Job;
use uuid::Uuid;

use cairn_testing::database::{jobs, rows, run};

/// Rolls pairs up in a transaction of its own. Returns those that were deferred.
async fn roll_up_pairs(db: &Db, pairs: &[Pair]) -> Vec<Pair> {
    let mut tx = db.begin().await.unwrap();
    let deferred = roll_up(&mut tx, pairs, Skip::Markers).await.unwrap();
    tx.commit().await.unwrap();
    deferred
}

/// Recomputes one chunk and enqueues the job that continues, as the worker does at times.
async fn run_chunk(db: &Db, job: RecomputeRoadmap) {
    let mut tx = db.begin().await.unwrap();
    if let Some(next) = recompute_chunk(&mut tx, job).await.unwrap() {
        tx.enqueue_in(&next.job, next.pause).unwrap();
    }
    tx.commit().await.unwrap();
}

/// Removes all jobs that recompute a roadmap from their queue and returns them.
async fn take_chunks(db: &Db) -> Vec<RecomputeRoadmap> {
    let found = jobs::<RecomputeRoadmap>(db.pool()).await;
    run(db.pool(), format!("DELETE FROM apalis.jobs WHERE job_type = '{}'", RecomputeRoadmap::QUEUE.name())).await;
    found
}

/// The pairs whose markers are stale.
async fn dirty(db: &Db) -> Vec<Pair> {
    let query = "SELECT user_id, roadmap_id FROM progress_dirty WHERE done_seq < requested_seq ORDER BY 1, 2";
    let pairs: Vec<(Uuid, Uuid)> = rows(db.pool(), query).await;
    pairs.into_iter().map(|(user_id, roadmap_id)| Pair { user_id, roadmap_id }).collect()
}

/// Rolls up the stale pairs, and nothing else.
async fn drain_markers(db: &Db) {
    let pairs = dirty(db).await;
    run(db.pool(), "UPDATE progress_dirty SET throttled_until = NULL WHERE done_seq < requested_seq").await;
    assert_eq!(roll_up_pairs(db, &pairs).await, []);
    assert_eq!(dirty(db).await, []);
}

/// Recomputes the roadmaps whose content is newer than their numbers, and nothing else.
async fn drain_roadmaps(db: &Db) {
    let query = "SELECT id, content_version FROM roadmaps WHERE recomputed_version < content_version";
    let lagging: Vec<(Uuid, i64)> = rows(db.pool(), query).await;
    take_chunks(db).await;
    for (roadmap_id, content_version) in lagging {
        let mut next = vec![RecomputeRoadmap { roadmap_id, content_version, after_user: None }];
        while let Some(job) = next.pop() {
            run_chunk(db, job).await;
            next.extend(take_chunks(db).await);
        }
    }
    let left: Vec<(Uuid, i64)> = rows(db.pool(), query).await;
    assert_eq!(left, [], "recomputed, but not marked as recomputed");
}
