//! After a content change, the progress of everyone in the roadmap is recomputed, a chunk of learners at a time.
//!
//! ```text
//! content changed ──▶ RecomputeRoadmap ──▶ chunk ─ pause ─▶ chunk ─ pause ─▶ … no learner left ──▶ recomputed_version
//!                            ▲                                                    │
//!                            └────────── some learners were skipped ◀─────────────┘
//! ```
//!
//! A pass goes through the markers whose `done_version` is behind, because their numbers belong to older content. It skips
//! learners whose marker is locked (their own rollup brings them up to date), so that it never waits while it holds the
//! locks of a whole chunk, and visits them again later. The job's position in the pass is only a hint: a pass that starts
//! from the beginning again does not repeat any learner who is already up to date.
//!
//! After each chunk the pass pauses for as long as the chunk took. This leaves at least half of one connection's time to
//! learners' requests, and more when the database is slow because of their number. Chunks are small because a learner who
//! completes a lesson meanwhile may find all cores busy and then has to wait for one statement of the pass.

use std::time::{Duration, Instant};

use uuid::Uuid;

use super::rollup::{Pair, compute, use_indexes};
use crate::Result;
use crate::db::Tx;
use crate::learning::jobs::RecomputeRoadmap;

/// How many learners are recomputed in one transaction. Their markers are locked until it commits, so a learner who
/// changes a fact in the meantime has to wait for it.
pub const CHUNK: usize = 20;

/// The pause before a pass visits skipped learners again, or checks again whether a roadmap is still being edited.
const REVISIT_DELAY: Duration = Duration::from_secs(1);

/// Enqueues the recomputation of every roadmap whose content was changed by this transaction or an earlier one. If no
/// learner has numbers that belong to older content, the roadmap is marked as recomputed right away.
pub async fn enqueue_stale(tx: &mut Tx) -> Result<()> {
    let stale = sqlx::query_as!(
        StaleRoadmap,
        "SELECT id, content_version FROM roadmaps WHERE recomputed_version < content_version ORDER BY id FOR NO KEY UPDATE"
    );
    let stale = stale.fetch_all(&mut **tx).await?;
    enqueue(tx, stale).await
}

/// As [`enqueue_stale`], for the roadmaps that this transaction has changed. Others have their jobs already.
pub async fn enqueue_changed(tx: &mut Tx) -> Result<()> {
    let stale = sqlx::query_as!(
        StaleRoadmap,
        "SELECT id, content_version FROM roadmaps
         WHERE recomputed_version < content_version AND xmin = pg_current_xact_id()::xid ORDER BY id"
    );
    let stale = stale.fetch_all(&mut **tx).await?;
    enqueue(tx, stale).await
}

/// A roadmap whose learners have numbers that may belong to older content.
struct StaleRoadmap {
    id: Uuid,
    content_version: i64,
}

async fn enqueue(tx: &mut Tx, stale: Vec<StaleRoadmap>) -> Result<()> {
    for roadmap in stale {
        if !mark_recomputed(tx, roadmap.id, roadmap.content_version).await? {
            tx.enqueue(&RecomputeRoadmap {
                roadmap_id: roadmap.id,
                content_version: roadmap.content_version,
                after_user: None,
            })?;
        }
    }
    Ok(())
}

/// The next chunk of a pass.
#[derive(Clone, Copy, Debug)]
pub struct NextChunk {
    /// The job that recomputes the chunk.
    pub job: RecomputeRoadmap,
    /// How long to wait before running it.
    pub pause: Duration,
}

/// Recomputes one chunk of a roadmap's learners. Returns the next chunk, which the caller has to run or enqueue; `None` if
/// everyone is up to date.
pub async fn recompute_chunk(tx: &mut Tx, job: RecomputeRoadmap) -> Result<Option<NextChunk>> {
    let roadmap_id = job.roadmap_id;
    let roadmap = sqlx::query!("SELECT content_version, recomputed_version FROM roadmaps WHERE id = $1", roadmap_id)
        .fetch_optional(&mut **tx)
        .await?;
    let Some(roadmap) = roadmap else { return Ok(None) };
    let version = roadmap.content_version;
    if roadmap.recomputed_version == version {
        return Ok(None); // another pass was faster, for instance that of a later edit
    }
    // Learners who were brought up to an older version are behind again, so the pass starts from the beginning.
    let after_user = job.after_user.filter(|_| job.content_version == version);
    let started = Instant::now();
    use_indexes(tx).await?;
    let learners = lock_behind(tx, roadmap_id, version, after_user).await?;
    compute(tx, &learners, Duration::ZERO).await?;
    let next = |after_user, pause| {
        Ok(Some(NextChunk { job: RecomputeRoadmap { roadmap_id, content_version: version, after_user }, pause }))
    };
    match learners.get(CHUNK - 1) {
        Some(last) => next(Some(last.user_id), started.elapsed()),
        None if mark_recomputed(tx, roadmap_id, version).await? => Ok(None),
        None => next(None, REVISIT_DELAY),
    }
}

/// Locks the next learners whose numbers belong to content older than `version`. Skips those who
/// are locked already, with their users.
async fn lock_behind(tx: &mut Tx, roadmap_id: Uuid, version: i64, after_user: Option<Uuid>) -> Result<Vec<Pair>> {
    let pairs = sqlx::query_as!(
        Pair,
        "SELECT d.user_id, d.roadmap_id FROM progress_dirty d JOIN users u ON u.id = d.user_id
         WHERE d.roadmap_id = $1 AND d.done_version < $2
           AND d.user_id > coalesce($3, '00000000-0000-0000-0000-000000000000'::uuid)
         ORDER BY d.user_id
         LIMIT $4
         FOR UPDATE OF d SKIP LOCKED FOR NO KEY UPDATE OF u SKIP LOCKED",
        roadmap_id,
        version,
        after_user,
        i64::try_from(CHUNK).unwrap_or(i64::MAX)
    );
    Ok(pairs.fetch_all(&mut **tx).await?)
}

/// Marks the roadmap as recomputed up to `version`. Returns false if some learner's numbers still belong to older content, or
/// if another transaction is editing the roadmap: its change will need another pass, and waiting for it would keep the
/// learners of this chunk locked.
async fn mark_recomputed(tx: &mut Tx, roadmap_id: Uuid, version: i64) -> Result<bool> {
    let updated = sqlx::query!(
        "UPDATE roadmaps SET recomputed_version = greatest(recomputed_version, $2)
         WHERE id = (SELECT id FROM roadmaps WHERE id = $1 FOR NO KEY UPDATE SKIP LOCKED)
           AND NOT EXISTS (SELECT FROM progress_dirty WHERE roadmap_id = $1 AND done_version < $2)",
        roadmap_id,
        version
    );
    Ok(updated.execute(&mut **tx).await?.rows_affected() > 0)
}
