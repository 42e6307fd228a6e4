//! Taking jobs, keeping them alive, giving them up: every statement of a worker on the jobs table.
//!
//! A job moves `Pending → Running → Done`, or through `Failed` (waits for its next attempt) to `Killed` (dead). The
//! attempt is counted when the job is taken, so a job that takes its process down is counted too. Every later statement
//! names the worker and the time of its claim: who lost a job to a rescue cannot change it any more.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::Queue;
use crate::Result;

/// A worker that has not been heard of for so long is lost, and its jobs are taken from it.
pub const SILENCE: Duration = Duration::from_secs(15);

/// A job that this worker holds.
#[derive(Clone, Debug)]
pub struct Lease {
    /// The job's id (a ULID).
    pub id: String,
    /// The stored envelope.
    pub payload: Vec<u8>,
    /// The number of this start, from 1.
    pub attempt: i32,
    /// Starts after which the job is dead.
    pub max_attempts: i32,
    /// When it was taken, by the database's clock: tells this hold from every other.
    pub taken_at: DateTime<Utc>,
    /// For how long it had been due when it was taken, in seconds, by the database's clock.
    pub waited: f64,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its effect is committed.
    Done,
    /// To be tried again after a delay.
    Retry {
        /// How long from now, by the database's clock.
        delay: Duration,
        /// Why; shown to operators.
        error: String,
    },
    /// It is not time yet: it waits outside of any worker, and the run does not count as an attempt.
    Snooze {
        /// How long from now, by the database's clock.
        delay: Duration,
    },
    /// Never to be tried again by itself.
    Dead {
        /// Why; shown to operators.
        error: String,
    },
}

/// The end of one run, to be stored.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The job.
    pub id: String,
    /// [`Lease::taken_at`].
    pub taken_at: DateTime<Utc>,
    /// How.
    pub outcome: Outcome,
}

impl Lease {
    /// The end of this run.
    pub fn finished(&self, outcome: Outcome) -> Finished {
        Finished { id: self.id.clone(), taken_at: self.taken_at, outcome }
    }
}

/// Takes up to `limit` due jobs of a queue, oldest first; none while the queue is paused.
pub async fn claim(connection: &mut PgConnection, queue: Queue, worker: &str, limit: i64) -> Result<Vec<Lease>> {
    Ok(sqlx::query_as!(
        Lease,
        r#"WITH due AS (
               SELECT id FROM apalis.jobs
               WHERE job_type = $1 AND run_at <= now()
                 AND (status = 'Pending' OR (status = 'Failed' AND attempts < max_attempts))
                 AND NOT EXISTS (SELECT FROM paused_queues p WHERE p.queue = $1)
               ORDER BY priority DESC, run_at
               LIMIT $3
               FOR UPDATE SKIP LOCKED
           )
           UPDATE apalis.jobs j
           SET status = 'Running', lock_by = $2, lock_at = now(), attempts = j.attempts + 1
           FROM due WHERE j.id = due.id
           RETURNING j.id, j.job AS payload, j.attempts AS attempt, j.max_attempts, j.lock_at AS "taken_at!",
               extract(epoch FROM now() - greatest(j.run_at, 'epoch'))::float8 AS "waited!""#,
        queue.name(),
        worker,
        limit
    )
    .fetch_all(connection)
    .await?)
}

/// Longest delay of a retry: a provider may ask for any.
const LONGEST_DELAY: Duration = Duration::from_hours(24);

/// Stores how runs ended, in one statement. Returns how many counted: a run whose job was rescued meanwhile does not.
/// The errors of all attempts stay with the job, the newest ten.
///
/// Takes whatever it gets: a group that cannot be stored is tried again for ever, so one bad outcome would stop its queue.
pub async fn finish(connection: &mut PgConnection, worker: &str, finished: &[Finished]) -> Result<u64> {
    let ids: Vec<&str> = finished.iter().map(|f| f.id.as_str()).collect();
    let taken_at: Vec<DateTime<Utc>> = finished.iter().map(|f| f.taken_at).collect();
    let mut statuses = Vec::with_capacity(finished.len());
    let mut delays = Vec::with_capacity(finished.len());
    let mut errors = Vec::with_capacity(finished.len());
    for f in finished {
        let (status, delay, error) = match &f.outcome {
            Outcome::Done => ("Done", Duration::ZERO, None),
            Outcome::Retry { delay, error } => ("Failed", (*delay).min(LONGEST_DELAY), Some(error)),
            Outcome::Snooze { delay } => ("Pending", (*delay).min(LONGEST_DELAY), None),
            Outcome::Dead { error } => ("Killed", Duration::ZERO, Some(error)),
        };
        statuses.push(status);
        delays.push(delay.as_secs_f64());
        // Postgres stores no NUL; an error can quote one from a payload.
        errors.push(error.map(|error| error.replace('\0', "\u{fffd}")));
    }
    let counted = sqlx::query_scalar!(
        r#"WITH ended AS (
               UPDATE apalis.jobs j
               SET status = f.status,
                   lock_by = NULL,
                   attempts = CASE WHEN f.status = 'Pending' THEN j.attempts - 1 ELSE j.attempts END,
                   run_at = CASE WHEN f.status IN ('Failed', 'Pending') THEN now() + make_interval(secs => f.delay)
                                 ELSE j.run_at END,
                   done_at = CASE WHEN f.status IN ('Failed', 'Pending') THEN NULL ELSE now() END,
                   last_result = CASE
                       WHEN f.status = 'Pending' THEN j.last_result
                       WHEN f.error IS NULL THEN '{"Ok": null}'::jsonb
                       ELSE jsonb_build_object('Err', f.error, 'attempts',
                           jsonb_path_query_array(coalesce(j.last_result -> 'attempts', '[]'), '$[last - 8 to last]')
                           || jsonb_build_object('attempt', j.attempts, 'at', now(), 'error', f.error))
                   END
               FROM unnest($2::text[], $3::timestamptz[], $4::text[], $5::float8[], $6::text[])
                   AS f (id, taken_at, status, delay, error)
               WHERE j.id = f.id AND j.lock_at = f.taken_at
                   -- Written so that the job can only be found by its id, not among all that the worker holds or held.
                   AND j.lock_by IS NOT DISTINCT FROM $1 AND j.status || '' = 'Running'
               RETURNING j.job_type, j.status
           ), counted AS (
               INSERT INTO job_counts AS c (queue, worker, done, failed)
               SELECT job_type, $1, count(*) FILTER (WHERE status = 'Done'),
                   count(*) FILTER (WHERE status IN ('Failed', 'Killed'))
               FROM ended WHERE status <> 'Pending' GROUP BY job_type
               ON CONFLICT (queue, slot, worker)
                   DO UPDATE SET done = c.done + excluded.done, failed = c.failed + excluded.failed
           )
           SELECT count(*) AS "ended!" FROM ended"#,
        worker,
        &ids as &[&str],
        &taken_at,
        &statuses as &[&str],
        &delays,
        &errors as &[Option<String>],
    )
    .fetch_one(connection)
    .await?;
    Ok(counted.unsigned_abs())
}

/// Gives jobs back that were taken and not started: they are due again and the attempt does not count.
pub async fn hand_back(connection: &mut PgConnection, worker: &str, ids: &[String]) -> Result<u64> {
    let result = sqlx::query!(
        "UPDATE apalis.jobs SET status = 'Pending', lock_by = NULL, lock_at = NULL, attempts = attempts - 1
         WHERE id = ANY ($2) AND lock_by = $1 AND status = 'Running'",
        worker,
        ids
    )
    .execute(connection)
    .await?;
    Ok(result.rows_affected())
}

/// Gives back what this worker holds in the database and not in its hands: the answer to a claim was lost on the way.
/// `in_hand` are the jobs it knows of; claims of the last `grace` may still be on their way. Returns how many there were.
pub async fn disown(connection: &mut PgConnection, worker: &str, in_hand: &[String], grace: Duration) -> Result<u64> {
    let result = sqlx::query!(
        "UPDATE apalis.jobs SET status = 'Pending', lock_by = NULL, lock_at = NULL, attempts = attempts - 1
         WHERE lock_by = $1 AND status = 'Running' AND id <> ALL ($2)
           AND lock_at < clock_timestamp() - make_interval(secs => $3)",
        worker,
        in_hand,
        grace.as_secs_f64()
    )
    .execute(connection)
    .await?;
    Ok(result.rows_affected())
}

/// Says that workers are alive; registers the ones that are new.
pub async fn heartbeat(connection: &mut PgConnection, workers: &[(String, Queue)]) -> Result<()> {
    let names: Vec<&str> = workers.iter().map(|(name, _)| name.as_str()).collect();
    let queues: Vec<&str> = workers.iter().map(|(_, queue)| queue.name()).collect();
    sqlx::query!(
        "INSERT INTO apalis.workers (id, worker_type, storage_name, layers, last_seen, started_at)
         SELECT id, queue, 'cairn', '', now(), now() FROM unnest($1::text[], $2::text[]) AS w (id, queue)
         ORDER BY id
         ON CONFLICT (id) DO UPDATE SET last_seen = now()",
        &names as &[&str],
        &queues as &[&str],
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Says that workers have ended: what they still hold is taken from them at once, not after a silence.
pub async fn sign_off(connection: &mut PgConnection, workers: &[(String, Queue)]) -> Result<()> {
    let names: Vec<&str> = workers.iter().map(|(name, _)| name.as_str()).collect();
    sqlx::query!("UPDATE apalis.workers SET last_seen = to_timestamp(0) WHERE id = ANY ($1)", &names as &[&str])
        .execute(connection)
        .await?;
    Ok(())
}

/// Takes jobs away from workers that have not been heard of for `silence`. They are due again after a short random
/// delay that grows with the attempts, so that jobs that ran beside one that kills its process part from it; a job with
/// no attempts left is dead. Returns how many there were.
pub async fn rescue(connection: &mut PgConnection, silence: Duration) -> Result<u64> {
    let rescued = sqlx::query_scalar!(
        r#"WITH lost AS (
               SELECT j.id FROM apalis.jobs j LEFT JOIN apalis.workers w ON w.id = j.lock_by
               WHERE j.status IN ('Queued', 'Running')
                 AND (w.id IS NULL OR w.last_seen < now() - make_interval(secs => $1))
               ORDER BY j.id
               LIMIT 5000
               FOR UPDATE OF j SKIP LOCKED
           ), taken AS (
               UPDATE apalis.jobs j
               SET status = CASE WHEN j.attempts < j.max_attempts THEN 'Failed' ELSE 'Killed' END,
                   lock_by = NULL,
                   run_at = now() + random() * least(power(2, least(j.attempts - 1, 10)), 60) * interval '1 second',
                   done_at = CASE WHEN j.attempts < j.max_attempts THEN NULL ELSE now() END,
                   last_result = jsonb_build_object('Err', 'the worker was lost', 'attempts',
                       jsonb_path_query_array(coalesce(j.last_result -> 'attempts', '[]'), '$[last - 8 to last]')
                       || jsonb_build_object('attempt', j.attempts, 'at', now(), 'error', 'the worker was lost'))
               FROM lost WHERE j.id = lost.id
               RETURNING j.job_type
           ), counted AS (
               INSERT INTO job_counts AS c (queue, worker, done, failed)
               SELECT job_type, '', 0, count(*) FROM taken GROUP BY job_type ORDER BY job_type
               ON CONFLICT (queue, slot, worker) DO UPDATE SET failed = c.failed + excluded.failed
           )
           SELECT count(*) AS "taken!" FROM taken"#,
        silence.as_secs_f64()
    )
    .fetch_one(connection)
    .await?;
    Ok(rescued.unsigned_abs())
}
