//! The rollup: stage, roadmap and overall progress, recomputed from the facts and the current content, never ±1.
//!
//! ```text
//! fact written ──▶ marker (user, roadmap) requested_seq + 1 ──▶ RollUpProgress ──▶ rows, done_seq = requested_seq
//! content changed ──▶ roadmap content_version + 1 ──▶ RecomputeRoadmap, in chunks ──▶ recomputed_version
//! ```
//!
//! One implementation serves single learners, batches and whole roadmaps. It takes the row locks of the markers first,
//! in one order for everybody, and computes in a later statement: at READ COMMITTED that statement sees every fact whose
//! writer held one of these locks before. So no order of jobs, retries or repeats can leave a stale row.

use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::Result;
use crate::admin::activity::{Action, Event, Target};
use crate::clock::Clock;
use crate::db::Tx;
use crate::jobs::{Job, RecomputeRoadmap};

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

/// How many learners one [`RecomputeRoadmap`] job does in one transaction. Their markers are locked meanwhile, so a
/// learner who acts just then waits for it.
const CHUNK: i64 = 500;

/// Rolls pairs up, in one transaction. Pairs that are not stale cost nothing. Returns the pairs that are stale
/// and have been rolled up too often just now: the caller comes back for them.
pub async fn roll_up(tx: &mut Tx, clock: &Clock, pairs: &[Pair]) -> Result<Vec<Pair>> {
    let (stale, resting) = lock_stale(tx, pairs).await?;
    compute(tx, clock, &stale).await?;
    Ok(resting)
}

/// Does one chunk of a roadmap's learners and enqueues the next chunk in the same transaction. When the last is done,
/// the roadmap counts as recomputed up to the version it had when the walk began.
pub async fn recompute_chunk(tx: &mut Tx, clock: &Clock, job: RecomputeRoadmap) -> Result<()> {
    let roadmap =
        sqlx::query!("SELECT content_version, recomputed_version FROM roadmaps WHERE id = $1", job.roadmap_id)
            .fetch_optional(&mut **tx)
            .await?;
    let Some(roadmap) = roadmap else { return Ok(()) };
    let version = roadmap.content_version;
    if roadmap.recomputed_version == version {
        return Ok(()); // another walk was faster, such as that of a later edit
    }
    if version != job.content_version {
        // Who was done already saw older content: start again.
        let restart = RecomputeRoadmap { content_version: version, after_user: None, ..job };
        if job.after_user.is_some() {
            return restart.enqueue(tx);
        }
        return Box::pin(recompute_chunk(tx, clock, restart)).await;
    }
    let users = sqlx::query_scalar!(
        "SELECT user_id FROM progress_dirty WHERE roadmap_id = $1 AND ($2::uuid IS NULL OR user_id > $2)
         ORDER BY user_id LIMIT $3",
        job.roadmap_id,
        job.after_user,
        CHUNK
    )
    .fetch_all(&mut **tx)
    .await?;
    let Some(last) = users.last().copied() else {
        sqlx::query!(
            "UPDATE roadmaps SET recomputed_version = greatest(recomputed_version, $2) WHERE id = $1",
            job.roadmap_id,
            job.content_version
        )
        .execute(&mut **tx)
        .await?;
        return Ok(());
    };
    let pairs: Vec<Pair> = users.into_iter().map(|user_id| Pair { user_id, roadmap_id: job.roadmap_id }).collect();
    lock_all(tx, &pairs).await?;
    compute(tx, clock, &pairs).await?;
    RecomputeRoadmap { after_user: Some(last), ..job }.enqueue(tx)
}

/// Locks the markers of the pairs that are stale, and tells them from those that rest.
async fn lock_stale(connection: &mut PgConnection, pairs: &[Pair]) -> Result<(Vec<Pair>, Vec<Pair>)> {
    let (users, roadmaps) = columns(pairs);
    let rows = sqlx::query!(
        r#"SELECT d.user_id, d.roadmap_id,
                  -- Far more than can be spent ahead is from before the clock was set back.
                  coalesce(d.paid_until > clock_timestamp() + make_interval(secs => $3)
                       AND d.paid_until <= clock_timestamp() + interval '10 seconds', false) AS "rests!"
           FROM progress_dirty d
           JOIN unnest($1::uuid[], $2::uuid[]) AS p (user_id, roadmap_id) USING (user_id, roadmap_id)
           WHERE d.done_seq < d.requested_seq
           ORDER BY d.user_id, d.roadmap_id
           FOR UPDATE OF d"#,
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

/// Locks the markers of pairs whether they are stale or not.
async fn lock_all(connection: &mut PgConnection, pairs: &[Pair]) -> Result<()> {
    let (users, roadmaps) = columns(pairs);
    sqlx::query!(
        "SELECT d.user_id FROM progress_dirty d
         JOIN unnest($1::uuid[], $2::uuid[]) AS p (user_id, roadmap_id) USING (user_id, roadmap_id)
         ORDER BY d.user_id, d.roadmap_id
         FOR UPDATE OF d",
        &users,
        &roadmaps
    )
    .fetch_all(connection)
    .await?;
    Ok(())
}

/// Recomputes pairs whose markers are locked, marks them done, and records what was achieved for the first time.
async fn compute(tx: &mut Tx, clock: &Clock, pairs: &[Pair]) -> Result<()> {
    if pairs.is_empty() {
        return Ok(());
    }
    let (users, roadmaps) = columns(pairs);
    let achieved = sqlx::query_file!("src/learning/rollup.sql", &users, &roadmaps).fetch_all(&mut **tx).await?;
    for row in achieved {
        let (action, kind) = match row.kind.as_str() {
            "stage" => (Action::StageAchieved, "stage"),
            _ => (Action::RoadmapAchieved, "roadmap"),
        };
        Event::of(Some(row.user_id), clock, action, Some(Target::new(kind, row.id, &row.title))).record(tx)?;
    }
    update_overall(tx, &users).await?;
    sqlx::query!(
        "UPDATE progress_dirty d
         SET done_seq = d.requested_seq, queued_at = NULL,
             paid_until = least(greatest(d.paid_until, clock_timestamp()), clock_timestamp() + make_interval(secs => $3))
                 + make_interval(secs => $4)
         FROM unnest($1::uuid[], $2::uuid[]) AS p (user_id, roadmap_id)
         WHERE d.user_id = p.user_id AND d.roadmap_id = p.roadmap_id",
        &users,
        &roadmaps,
        CREDIT.as_secs_f64(),
        COST.as_secs_f64()
    )
    .execute(&mut **tx)
    .await?;
    Ok(())
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
         FROM (
             SELECT u.id, progress_percent(
                        count(*) FILTER (WHERE f.status = 'completed')::integer, count(r.lesson_id)::integer) AS percent
             FROM (SELECT DISTINCT id FROM unnest($1::uuid[]) AS t (id)) u
             LEFT JOIN LATERAL (
                 SELECT DISTINCT sl.lesson_id
                 FROM visible_stages s
                 JOIN stage_lessons sl ON sl.stage_id = s.id AND sl.is_required
                 JOIN visible_lessons l ON l.id = sl.lesson_id
                 WHERE s.roadmap_id IN (
                     SELECT started.roadmap_id
                     FROM user_lesson_progress f
                     JOIN visible_lessons l ON l.id = f.lesson_id
                     JOIN stage_lessons sl ON sl.lesson_id = f.lesson_id
                     JOIN visible_stages started ON started.id = sl.stage_id
                     WHERE f.user_id = u.id)
             ) r ON true
             LEFT JOIN user_lesson_progress f ON f.user_id = u.id AND f.lesson_id = r.lesson_id
             GROUP BY u.id
         ) p
         WHERE u.id = p.id AND u.progress_percent IS DISTINCT FROM p.percent",
        users
    )
    .execute(connection)
    .await?;
    Ok(())
}

fn columns(pairs: &[Pair]) -> (Vec<Uuid>, Vec<Uuid>) {
    pairs.iter().map(|pair| (pair.user_id, pair.roadmap_id)).unzip()
}
