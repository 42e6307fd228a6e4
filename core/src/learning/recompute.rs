//! After a content change: everybody in the roadmap is recomputed, a chunk of learners at a time.
//!
//! ```text
//! content changed ──▶ RecomputeRoadmap ──▶ chunk ─ rest ─▶ chunk ─ rest ─▶ … nobody is behind ──▶ recomputed_version
//!                            ▲                                                      │
//!                            └──────────── somebody was passed over ◀───────────────┘
//! ```
//!
//! The walk goes by the markers: whose `done_version` is behind has numbers of older content. It passes over learners who
//! act just then (their own rollup brings them up to date), so that it never waits for them with the rest of the chunk
//! locked, and comes back. Where it was is only a hint: a walk that begins again finds nobody to do whom it has done.
//!
//! After each chunk it rests for as long as the chunk took: it leaves half of one connection's time to those who learn, and
//! more where the database is slow because they are many. Chunks are small: somebody who completes a lesson meanwhile may find
//! every core busy, and then waits for as long as one statement of the walk computes.

use std::time::{Duration, Instant};

use uuid::Uuid;

use super::rollup::{Pair, compute, use_indexes};
use crate::Result;
use crate::db::Tx;
use crate::learning::jobs::RecomputeRoadmap;

/// How many learners are done in one transaction. Their markers are locked meanwhile, so a learner who acts just then
/// waits for it.
pub const CHUNK: usize = 20;

/// How long until the walk comes back for learners whom it passed over, or to a roadmap that somebody is editing.
const RETURN: Duration = Duration::from_secs(1);

/// Enqueues the recomputation of every roadmap whose content this transaction, or one before it, changed. Where nobody has
/// numbers of older content there is nothing to do, and the roadmap counts as recomputed.
pub async fn enqueue_stale(tx: &mut Tx) -> Result<()> {
    let stale = sqlx::query!(
        "SELECT id, content_version FROM roadmaps WHERE recomputed_version < content_version ORDER BY id FOR NO KEY UPDATE"
    )
    .fetch_all(&mut **tx)
    .await?;
    for roadmap in stale {
        if !reached(tx, roadmap.id, roadmap.content_version).await? {
            tx.enqueue(&RecomputeRoadmap {
                roadmap_id: roadmap.id,
                content_version: roadmap.content_version,
                after_user: None,
            })?;
        }
    }
    Ok(())
}

/// Where a walk goes on.
#[derive(Clone, Copy, Debug)]
pub struct Next {
    /// From there.
    pub job: RecomputeRoadmap,
    /// After a rest of so long.
    pub rest: Duration,
}

/// Does one chunk of a roadmap's learners. Returns where the walk goes on, which the caller sees to; none = nobody is behind.
pub async fn recompute_chunk(tx: &mut Tx, job: RecomputeRoadmap) -> Result<Option<Next>> {
    let roadmap_id = job.roadmap_id;
    let roadmap = sqlx::query!("SELECT content_version, recomputed_version FROM roadmaps WHERE id = $1", roadmap_id)
        .fetch_optional(&mut **tx)
        .await?;
    let Some(roadmap) = roadmap else { return Ok(None) };
    let version = roadmap.content_version;
    if roadmap.recomputed_version == version {
        return Ok(None); // another walk was faster, such as that of a later edit
    }
    // Whoever was done for older content is behind again.
    let after_user = job.after_user.filter(|_| job.content_version == version);
    let begun = Instant::now();
    use_indexes(tx).await?;
    let learners = lock_behind(tx, roadmap_id, version, after_user).await?;
    compute(tx, &learners, Duration::ZERO).await?;
    let next = |after_user, rest| {
        Ok(Some(Next { job: RecomputeRoadmap { roadmap_id, content_version: version, after_user }, rest }))
    };
    match learners.get(CHUNK - 1) {
        Some(last) => next(Some(last.user_id), begun.elapsed()),
        None if reached(tx, roadmap_id, version).await? => Ok(None),
        None => next(None, RETURN),
    }
}

/// Locks the next learners whose numbers are of older content than `version`, but for those who are locked already.
async fn lock_behind(tx: &mut Tx, roadmap_id: Uuid, version: i64, after_user: Option<Uuid>) -> Result<Vec<Pair>> {
    let pairs = sqlx::query_as!(
        Pair,
        "SELECT user_id, roadmap_id FROM progress_dirty
         WHERE roadmap_id = $1 AND done_version < $2 AND user_id > coalesce($3, '00000000-0000-0000-0000-000000000000'::uuid)
         ORDER BY user_id
         LIMIT $4
         FOR UPDATE SKIP LOCKED",
        roadmap_id,
        version,
        after_user,
        i64::try_from(CHUNK).unwrap_or(i64::MAX)
    );
    Ok(pairs.fetch_all(&mut **tx).await?)
}

/// Marks the roadmap as recomputed up to `version`, unless somebody's numbers are still of older content. Not while somebody
/// else edits the roadmap, either: there is more to come, and those who were just done would wait for it, locked.
async fn reached(tx: &mut Tx, roadmap_id: Uuid, version: i64) -> Result<bool> {
    let updated = sqlx::query!(
        "UPDATE roadmaps SET recomputed_version = greatest(recomputed_version, $2)
         WHERE id = (SELECT id FROM roadmaps WHERE id = $1 FOR NO KEY UPDATE SKIP LOCKED)
           AND NOT EXISTS (SELECT FROM progress_dirty WHERE roadmap_id = $1 AND done_version < $2)",
        roadmap_id,
        version
    );
    Ok(updated.execute(&mut **tx).await?.rows_affected() > 0)
}
