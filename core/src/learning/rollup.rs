//! The rollup: stage, roadmap and overall progress, recomputed from the facts and the current content, never ±1.
//!
//! ```text
//! fact written ──▶ marker (user, roadmap) requested_seq + 1 ──▶ RollUpProgress ──▶ rows, done_seq = requested_seq
//! content changed ──▶ roadmap content_version + 1 ──▶ RecomputeRoadmap, in chunks ──▶ rows, done_version
//! ```
//!
//! One implementation serves single learners, batches and whole roadmaps ([`super::recompute`]). It takes the row locks of
//! the markers first and computes in a later statement: at READ COMMITTED that statement sees every fact whose writer held
//! one of these locks before. So no order of jobs, retries or repeats can leave a stale row. It never waits for a marker: a
//! transaction that hangs, or a long one, keeps back the learner whom it is about, and nobody who shares a batch with him.

use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::Result;
use crate::activity::{Action, Noun, Verb};
use crate::db::Tx;

/// One learner in one roadmap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair {
    /// The learner.
    pub user_id: Uuid,
    /// The roadmap.
    pub roadmap_id: Uuid,
}

/// What one rollup of a pair costs it, in time. A learner who acts now and then is rolled up at once; one who clicks
/// without end, twice a second (generic cell rate algorithm, ITU-T I.371).
const COST: Duration = Duration::from_millis(500);

/// How far a pair may be ahead of its time before it rests: three rollups in a row are at once.
const CREDIT: Duration = Duration::from_secs(1);

/// Rolls pairs up, in one transaction. Pairs that are not stale cost nothing. Returns the pairs that are stale and cannot be
/// rolled up now: too often just before, or somebody else has their marker. The caller comes back for them.
pub async fn roll_up(tx: &mut Tx, pairs: &[Pair]) -> Result<Vec<Pair>> {
    use_indexes(tx).await?;
    let (stale, resting) = lock_stale(tx, pairs).await?;
    compute(tx, &stale, COST).await?;
    Ok(resting)
}

/// Has this transaction's statements use indexes, as all of the rollup's mean to: a plan that is made while a table is nearly
/// empty would scan it, for every row, until somebody analyzes it.
pub(super) async fn use_indexes(connection: &mut PgConnection) -> Result<()> {
    sqlx::query!("SELECT set_config('enable_seqscan', 'off', true)").fetch_one(connection).await?;
    Ok(())
}

/// Locks the markers of the pairs that are stale, and tells them from those that rest or are locked by somebody else.
async fn lock_stale(connection: &mut PgConnection, pairs: &[Pair]) -> Result<(Vec<Pair>, Vec<Pair>)> {
    let (users, roadmaps) = columns(pairs);
    let rows = sqlx::query!(
        r#"WITH held AS (
               SELECT d.user_id, d.roadmap_id,
                   -- Far more than can be spent ahead is from before the clock was set back.
                   coalesce(d.throttled_until > clock_timestamp() + make_interval(secs => $3)
                       AND d.throttled_until <= clock_timestamp() + interval '10 seconds', false) AS rests
               FROM progress_dirty d
               JOIN unnest($1::uuid[], $2::uuid[]) AS p (user_id, roadmap_id) USING (user_id, roadmap_id)
               WHERE d.done_seq < d.requested_seq
               FOR UPDATE OF d SKIP LOCKED
           )
           SELECT user_id AS "user_id!", roadmap_id AS "roadmap_id!", rests AS "rests!" FROM held
           UNION
           SELECT d.user_id, d.roadmap_id, true
           FROM progress_dirty d
           JOIN unnest($1::uuid[], $2::uuid[]) AS p (user_id, roadmap_id) USING (user_id, roadmap_id)
           WHERE d.done_seq < d.requested_seq
             AND (d.user_id, d.roadmap_id) NOT IN (SELECT user_id, roadmap_id FROM held)"#,
        &users,
        &roadmaps,
        CREDIT.as_secs_f64()
    )
    .fetch_all(connection)
    .await?;
    let mut stale = Vec::with_capacity(rows.len());
    let mut resting = Vec::new();
    for row in rows {
        let pair = Pair { user_id: row.user_id, roadmap_id: row.roadmap_id };
        if row.rests { resting.push(pair) } else { stale.push(pair) }
    }
    Ok((stale, resting))
}

/// Recomputes pairs whose markers are locked, marks them done, and records what was achieved for the first time. Each pair
/// is named once, and pays `cost`.
pub(super) async fn compute(tx: &mut Tx, pairs: &[Pair], cost: Duration) -> Result<()> {
    if pairs.is_empty() {
        return Ok(());
    }
    let (users, roadmaps) = columns(pairs);
    let achieved =
        sqlx::query_file!("src/learning/rollup.sql", &users, &roadmaps, cost.as_secs_f64(), CREDIT.as_secs_f64())
            .fetch_all(&mut **tx)
            .await?;
    for row in achieved {
        let noun = if row.kind == "stage" { Noun::Stage } else { Noun::Roadmap };
        tx.record(Action::new(noun, Verb::Achieved).on(row.id, &row.title).by(row.user_id))?;
    }
    update_overall(tx, &users).await
}

/// Recomputes `users.progress_percent`: the distinct required lessons of all roadmaps the user started.
///
/// Rollups of two roadmaps of one user run side by side, so the users' rows are locked before anything is read for them.
async fn update_overall(connection: &mut PgConnection, users: &[Uuid]) -> Result<()> {
    sqlx::query!("SELECT id FROM users WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE", users)
        .fetch_all(&mut *connection)
        .await?;
    sqlx::query!(
        "UPDATE users u SET progress_percent = p.percent
         FROM overall_percents($1) p
         WHERE u.id = p.user_id AND u.progress_percent IS DISTINCT FROM p.percent",
        users
    )
    .execute(connection)
    .await?;
    Ok(())
}

fn columns(pairs: &[Pair]) -> (Vec<Uuid>, Vec<Uuid>) {
    pairs.iter().map(|pair| (pair.user_id, pair.roadmap_id)).unzip()
}
