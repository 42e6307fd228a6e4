//! The rollup: stage, roadmap and overall progress. Always recomputed from the facts and the current content, never
//! incremented or decremented.
//!
//! ```text
//! fact written ──▶ marker (user, roadmap) requested_seq + 1 ──▶ RollUpProgress ──▶ rows, done_seq = requested_seq
//! content changed ──▶ roadmap content_version + 1 ──▶ RecomputeRoadmap, in chunks ──▶ rows, done_version
//! ```
//!
//! One implementation serves single learners, batches and whole roadmaps ([`super::recompute`]). It first locks the rows of
//! the markers and computes in a later statement. At READ COMMITTED, that statement sees every fact whose writer held one
//! of these locks before, so no order of jobs, retries or repeats can leave a stale row.
//!
//! It never waits for a marker or a user that another transaction has locked, and if it has to wait for anything else, it does
//! the rest without those who need it. A long or hanging transaction therefore delays only the learner it concerns, and no one
//! else in the same batch.

use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::Result;
use crate::activity::{Action, Verb};
use crate::db::Tx;
use crate::events::UserEvent;
use crate::noun::Noun;

/// A learner and a roadmap: the unit that is rolled up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair {
    /// Identifies the learner.
    pub user_id: Uuid,
    /// Identifies the roadmap.
    pub roadmap_id: Uuid,
}

/// The throttle of a pair (generic cell rate algorithm, ITU-T I.371): on average one rollup in this interval. A learner who
/// acts now and then is rolled up immediately; one who clicks continuously is rolled up twice a second.
const INTERVAL: Duration = Duration::from_millis(500);

/// How far a pair may exceed that average before it is throttled: it allows three rollups in immediate succession.
const BURST: Duration = Duration::from_secs(1);

/// Which rows that another transaction has locked are skipped, with the pairs that need them, instead of waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// Those that others lock in the course of their work: the markers and the users.
    Markers,
    /// All rows that a rollup writes or refers to, which costs more.
    All,
}

/// Rolls pairs up in one transaction; pairs that are not stale are skipped. Returns the stale pairs that cannot be rolled up
/// now, because they are throttled, or because another transaction has locked their marker, their user, or what `skip` says. The
/// caller has to try those again.
pub async fn roll_up(tx: &mut Tx, pairs: &[Pair], skip: Skip) -> Result<Vec<Pair>> {
    use_indexes(tx).await?;
    let (mut stale, mut deferred) = lock_stale(tx, pairs).await?;
    if skip == Skip::All && !stale.is_empty() {
        let free = lock_rows(tx, &stale).await?;
        deferred.extend(stale.extract_if(.., |pair| !free.contains(pair)));
    }
    compute(tx, &stale, INTERVAL).await?;
    Ok(deferred)
}

/// Makes the planner prefer indexes for the rest of the transaction. Every statement of the rollup is meant to use them, but
/// a plan that is made while a table is nearly empty would scan the whole table for each row until it is analyzed.
pub(super) async fn use_indexes(connection: &mut PgConnection) -> Result<()> {
    sqlx::query!("SELECT set_config('enable_seqscan', 'off', true)").fetch_one(connection).await?;
    Ok(())
}

/// Locks the markers and the users of the stale pairs. Returns these pairs, and separately those that are throttled or locked by
/// another transaction.
async fn lock_stale(connection: &mut PgConnection, pairs: &[Pair]) -> Result<(Vec<Pair>, Vec<Pair>)> {
    let (users, roadmaps) = columns(pairs);
    let rows = sqlx::query!(
        r#"WITH held AS (
               SELECT d.user_id, d.roadmap_id,
                   -- A time further ahead than bursts allow was stored before the clock was set back, and is ignored.
                   coalesce(d.throttled_until > clock_timestamp() + make_interval(secs => $3)
                       AND d.throttled_until <= clock_timestamp() + interval '10 seconds', false) AS is_throttled
               FROM progress_dirty d
               JOIN unnest($1::uuid[], $2::uuid[]) AS p (user_id, roadmap_id) USING (user_id, roadmap_id)
               JOIN users u ON u.id = d.user_id
               WHERE d.done_seq < d.requested_seq
               FOR UPDATE OF d SKIP LOCKED FOR NO KEY UPDATE OF u SKIP LOCKED
           )
           SELECT user_id AS "user_id!", roadmap_id AS "roadmap_id!", is_throttled AS "is_deferred!" FROM held
           UNION
           SELECT d.user_id, d.roadmap_id, true
           FROM progress_dirty d
           JOIN unnest($1::uuid[], $2::uuid[]) AS p (user_id, roadmap_id) USING (user_id, roadmap_id)
           WHERE d.done_seq < d.requested_seq
             AND (d.user_id, d.roadmap_id) NOT IN (SELECT user_id, roadmap_id FROM held)"#,
        &users,
        &roadmaps,
        BURST.as_secs_f64()
    )
    .fetch_all(connection)
    .await?;
    let mut stale = Vec::with_capacity(rows.len());
    let mut deferred = Vec::new();
    for row in rows {
        let pair = Pair { user_id: row.user_id, roadmap_id: row.roadmap_id };
        if row.is_deferred { deferred.push(pair) } else { stale.push(pair) }
    }
    Ok((stale, deferred))
}

/// Locks what a rollup of pairs writes and refers to beside their markers and users. Returns the pairs of which no row was locked
/// by another transaction.
async fn lock_rows(connection: &mut PgConnection, pairs: &[Pair]) -> Result<Vec<Pair>> {
    let (users, roadmaps) = columns(pairs);
    let free = sqlx::query_as!(
        Pair,
        r#"WITH roadmap AS MATERIALIZED (
               SELECT id FROM roadmaps WHERE id = ANY ($2) FOR KEY SHARE SKIP LOCKED
           ), stage AS MATERIALIZED (
               SELECT id FROM stages WHERE roadmap_id = ANY ($2) FOR KEY SHARE SKIP LOCKED
           ), head AS MATERIALIZED (
               SELECT user_id FROM user_event_heads WHERE user_id = ANY ($1) FOR NO KEY UPDATE SKIP LOCKED
           ), stage_row AS MATERIALIZED (
               SELECT user_id, stage_id FROM user_stage_progress WHERE user_id = ANY ($1) FOR NO KEY UPDATE SKIP LOCKED
           ), roadmap_row AS MATERIALIZED (
               SELECT user_id, roadmap_id FROM user_roadmap_progress WHERE user_id = ANY ($1)
               FOR NO KEY UPDATE SKIP LOCKED
           )
           SELECT p.user_id AS "user_id!", p.roadmap_id AS "roadmap_id!"
           FROM unnest($1::uuid[], $2::uuid[]) AS p (user_id, roadmap_id)
           WHERE p.roadmap_id IN (SELECT id FROM roadmap)
             AND NOT EXISTS (SELECT FROM stages s WHERE s.roadmap_id = p.roadmap_id AND s.id NOT IN (SELECT id FROM stage))
             AND NOT EXISTS (SELECT FROM user_event_heads h
                             WHERE h.user_id = p.user_id AND h.user_id NOT IN (SELECT user_id FROM head))
             AND NOT EXISTS (SELECT FROM user_stage_progress s WHERE s.user_id = p.user_id
                               AND (s.user_id, s.stage_id) NOT IN (SELECT user_id, stage_id FROM stage_row))
             AND NOT EXISTS (SELECT FROM user_roadmap_progress r WHERE r.user_id = p.user_id
                               AND (r.user_id, r.roadmap_id) NOT IN (SELECT user_id, roadmap_id FROM roadmap_row))"#,
        &users,
        &roadmaps
    );
    Ok(free.fetch_all(connection).await?)
}

/// Recomputes distinct pairs whose markers are locked, marks them as done, and records the stages and roadmaps that were
/// completed for the first time. Learners whose numbers changed get an event. Each pair counts against its throttle with `interval`.
pub(super) async fn compute(tx: &mut Tx, pairs: &[Pair], interval: Duration) -> Result<()> {
    if pairs.is_empty() {
        return Ok(());
    }
    let (users, roadmaps) = columns(pairs);
    let rows =
        sqlx::query_file!("src/learning/rollup.sql", &users, &roadmaps, interval.as_secs_f64(), BURST.as_secs_f64())
            .fetch_all(&mut **tx)
            .await?;
    for row in rows {
        let (user_id, roadmap_id) = (row.user_id, row.roadmap_id);
        let achieved = |noun| Action::new(noun, Verb::Achieved).on(row.id, &row.title).by(user_id);
        match row.kind.as_str() {
            "stage" => {
                tx.record(achieved(Noun::Stage))?;
                tx.emit(user_id, UserEvent::StageAchieved { stage_id: row.id, roadmap_id, title: row.title });
            }
            "roadmap" => {
                tx.record(achieved(Noun::Roadmap))?;
                tx.emit(user_id, UserEvent::RoadmapAchieved { roadmap_id, title: row.title });
            }
            _ => tx.emit(
                user_id,
                UserEvent::ProgressUpdated {
                    roadmap_id,
                    seq: row.seq.unwrap_or_default(),
                    status: row.status.unwrap_or_default(),
                    lessons_completed: row.completed.unwrap_or_default(),
                    lessons_total: row.total.unwrap_or_default(),
                },
            ),
        }
    }
    update_overall(tx, &users).await
}

/// Recomputes `users.progress_percent`, which covers the distinct required lessons of all roadmaps that the user started.
///
/// Two roadmaps of one user may be rolled up at the same time, so the users' rows are locked before their progress is read.
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
