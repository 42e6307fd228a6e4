//! The safety net under the jobs: finds work that waits and that no job will do, and enqueues it (again).
//!
//! Jobs are how work is done soon; these queries are why it is done at all: a job that an operator discarded, a fact
//! written by hand in SQL, a reply whose job died. Everything here may run twice; the jobs it makes find nothing to do.

use std::collections::HashSet;

use uuid::Uuid;

use super::{Envelope, GenerateReply, Job, RecomputeRoadmap, RollUpProgress};
use crate::Result;
use crate::db::Tx;
use crate::tools::{Reason, replies};

/// Markers of learners that have been stale for 10 s and have no job, or one that has not come for 30 s.
pub async fn stale_progress(tx: &mut Tx) -> Result<()> {
    let rows = sqlx::query!(
        "WITH stale AS MATERIALIZED (
             SELECT user_id, roadmap_id FROM progress_dirty
             WHERE done_seq < requested_seq AND requested_at < now() - interval '10 seconds'
               AND (queued_at IS NULL OR queued_at < now() - interval '30 seconds')
             ORDER BY requested_at
             LIMIT 2000
             FOR UPDATE SKIP LOCKED
         )
         UPDATE progress_dirty d SET queued_at = now()
         FROM stale s
         WHERE d.user_id = s.user_id AND d.roadmap_id = s.roadmap_id
         RETURNING d.user_id, d.roadmap_id"
    )
    .fetch_all(&mut **tx)
    .await?;
    for row in rows {
        RollUpProgress { user_id: row.user_id, roadmap_id: row.roadmap_id }.enqueue(tx)?;
    }
    Ok(())
}

/// Roadmaps whose content changed and that nobody recomputes.
pub async fn stale_roadmaps(tx: &mut Tx) -> Result<()> {
    let under_way: Vec<Uuid> = stored::<RecomputeRoadmap>(tx).await?.live.iter().map(|job| job.roadmap_id).collect();
    let rows = sqlx::query!(
        "SELECT id, content_version FROM roadmaps
         WHERE recomputed_version < content_version AND id <> ALL ($1)
         ORDER BY id
         LIMIT 100",
        &under_way
    )
    .fetch_all(&mut **tx)
    .await?;
    for row in rows {
        RecomputeRoadmap { roadmap_id: row.id, content_version: row.content_version, after_user: None }.enqueue(tx)?;
    }
    Ok(())
}

/// Open replies whose last job is dead: nobody would ever finish them, so they fail and the chat is free again. Those that
/// have no job at all (removed by hand) get one. The dead job of what was retried since says nothing.
pub async fn dead_replies(tx: &mut Tx) -> Result<()> {
    let jobs = stored::<GenerateReply>(tx).await?;
    let live: HashSet<Uuid> = jobs.live.iter().map(|job| job.reply_id).collect();
    let dead = jobs.dead.iter().filter(|job| !live.contains(&job.reply_id)).map(|job| (job.reply_id, job.retry));
    let (dead, retries): (Vec<Uuid>, Vec<i32>) = dead.unzip();
    let open = sqlx::query_scalar!(
        "SELECT DISTINCT r.id
         FROM unnest($1::uuid[], $2::integer[]) AS dead (id, retry)
         JOIN ai_replies r ON r.id = dead.id AND cardinality(r.retried_at) = dead.retry
         WHERE r.state IN ('queued', 'streaming') ORDER BY r.id",
        &dead,
        &retries
    )
    .fetch_all(&mut **tx)
    .await?;
    for id in open {
        replies::give_up(tx, id, Reason::AttemptsExhausted).await?;
    }
    let live: Vec<Uuid> = live.into_iter().collect();
    let jobless = sqlx::query!(
        r#"SELECT id, cardinality(retried_at) AS "retry!" FROM ai_replies
         WHERE state IN ('queued', 'streaming') AND updated_at < now() - interval '1 minute' AND id <> ALL ($1)
         ORDER BY updated_at
         LIMIT 100"#,
        &live
    )
    .fetch_all(&mut **tx)
    .await?;
    for reply in jobless {
        GenerateReply { reply_id: reply.id, retry: reply.retry }.enqueue(tx)?;
    }
    Ok(())
}

/// The jobs of one kind.
struct Stored<J> {
    /// Those that will run, or are running.
    live: Vec<J>,
    /// Those that died within a day.
    dead: Vec<J>,
}

/// Decoded here and not in SQL: one payload that cannot be read would fail the statement, and with it everything that
/// the safety net is for.
async fn stored<J: Job>(tx: &mut Tx) -> Result<Stored<J>> {
    let rows = sqlx::query!(
        // One part for each index: in a single condition they would have every finished job read, every few seconds.
        r#"SELECT job AS "job!", false AS "is_dead!" FROM apalis.jobs
           WHERE job_type = $1 AND (status = 'Pending' OR (status = 'Failed' AND attempts < max_attempts))
           UNION ALL
           SELECT job, false FROM apalis.jobs WHERE job_type = $1 AND status IN ('Queued', 'Running')
           UNION ALL
           SELECT job, true FROM apalis.jobs
           WHERE job_type = $1 AND (status = 'Killed' OR (status = 'Failed' AND attempts >= max_attempts))
             AND coalesce(done_at, run_at) > now() - interval '1 day'"#,
        J::QUEUE.name()
    )
    .fetch_all(&mut **tx)
    .await?;
    let mut jobs = Stored { live: Vec::new(), dead: Vec::new() };
    for row in rows {
        if let Ok(envelope) = serde_json::from_slice::<Envelope<J>>(&row.job)
            && envelope.kind == J::KIND
        {
            if row.is_dead { jobs.dead.push(envelope.data) } else { jobs.live.push(envelope.data) }
        }
    }
    Ok(jobs)
}
