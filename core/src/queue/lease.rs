//! Leases: finishing, releasing and rescuing jobs that a worker has claimed ([`super::claim`]).
//!
//! A job moves from `Pending` to `Running` and `Done`, or through `Failed` (it waits for its next attempt) to `Killed` (it is
//! dead). The attempt is counted when the job is claimed, so an attempt that crashes its process is counted too. Every later
//! statement names the worker and the time of the claim, so a worker that has lost a job can no longer change it, even if it
//! has claimed the same job again since.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::Queue;
use crate::Result;

/// A worker that has not sent a heartbeat for this long is lost, and its jobs are given to others.
pub const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(15);

/// What identifies a lease among those of one worker: the job, and when it was claimed. The job alone does not, because a
/// worker that was suspended may lose a job and claim it again while its first run is still going on.
pub type LeaseKey = (String, DateTime<Utc>);

/// A job that a worker has claimed.
#[derive(Clone, Debug)]
pub struct Lease {
    /// The job's id (a ULID).
    pub id: String,
    /// The worker that claimed it.
    pub worker: String,
    /// The stored envelope.
    pub payload: Vec<u8>,
    /// The number of this attempt, from 1.
    pub attempt: i32,
    /// The number of attempts after which the job is dead.
    pub max_attempts: i32,
    /// When it was claimed, by the database's clock. It identifies the lease together with the job and the worker.
    pub taken_at: DateTime<Utc>,
    /// How long it had been due when it was claimed, in seconds, by the database's clock.
    pub waited: f64,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its effect is committed.
    Done,
    /// It failed and is to be retried.
    Retry {
        /// The delay until it is due again, by the database's clock.
        delay: Duration,
        /// The error, which is shown to operators.
        error: String,
    },
    /// It ran too early. It waits in the table, and the run does not count as an attempt.
    Snooze {
        /// The delay until it is due again, by the database's clock.
        delay: Duration,
    },
    /// It failed and is not retried automatically.
    Dead {
        /// The error, which is shown to operators.
        error: String,
    },
}

/// The outcome of a run that is to be stored.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The id of the job.
    pub id: String,
    /// [`Lease::taken_at`].
    pub taken_at: DateTime<Utc>,
    /// How the run ended.
    pub outcome: Outcome,
}

impl Finished {
    /// What identifies the lease among those of its worker.
    pub fn key(&self) -> LeaseKey {
        (self.id.clone(), self.taken_at)
    }
}

impl Lease {
    /// What identifies this lease among those of its worker.
    pub fn key(&self) -> LeaseKey {
        (self.id.clone(), self.taken_at)
    }

    /// This lease with the outcome of its run.
    pub fn finished(&self, outcome: Outcome) -> Finished {
        Finished { id: self.id.clone(), taken_at: self.taken_at, outcome }
    }
}

/// Longest delay of a retry. A provider may ask for any delay.
const MAX_DELAY: Duration = Duration::from_hours(24);

/// Stores the outcomes of runs in one statement. Returns how many were stored: an outcome is ignored if its job has been given
/// to another worker. The errors of the newest ten attempts are kept with the job.
///
/// Accepts any outcome, because a batch that cannot be stored is retried forever, so one invalid outcome would stop its queue.
pub async fn finish(connection: &mut PgConnection, worker: &str, finished: &[Finished]) -> Result<u64> {
    let ids: Vec<&str> = finished.iter().map(|f| f.id.as_str()).collect();
    let taken_at: Vec<DateTime<Utc>> = finished.iter().map(|f| f.taken_at).collect();
    let mut statuses = Vec::with_capacity(finished.len());
    let mut delays = Vec::with_capacity(finished.len());
    let mut errors = Vec::with_capacity(finished.len());
    for f in finished {
        let (status, delay, error) = match &f.outcome {
            Outcome::Done => ("Done", Duration::ZERO, None),
            Outcome::Retry { delay, error } => ("Failed", (*delay).min(MAX_DELAY), Some(error)),
            Outcome::Snooze { delay } => ("Pending", (*delay).min(MAX_DELAY), None),
            Outcome::Dead { error } => ("Killed", Duration::ZERO, Some(error)),
        };
        statuses.push(status);
        delays.push(delay.as_secs_f64());
        // Postgres cannot store NUL, which an error may quote from a payload.
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
                   -- Written so that the planner finds the job by its id, not among all jobs of the worker.
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

/// Releases jobs that were claimed but not started. They are due again since when they were, and the attempt does not count.
pub async fn release(connection: &mut PgConnection, worker: &str, leases: &[LeaseKey]) -> Result<u64> {
    let (ids, taken_at) = columns(leases);
    let result = sqlx::query!(
        "UPDATE apalis.jobs j SET status = 'Pending', lock_by = NULL, lock_at = NULL, attempts = j.attempts - 1
         FROM unnest($2::text[], $3::timestamptz[]) AS l (id, taken_at)
         WHERE j.id = l.id AND j.lock_at = l.taken_at
             -- As in `finish`, the job is found by its id.
             AND j.lock_by IS NOT DISTINCT FROM $1 AND j.status || '' = 'Running'",
        worker,
        &ids as &[&str],
        &taken_at
    )
    .execute(connection)
    .await?;
    Ok(result.rows_affected())
}

/// Releases jobs that the worker has claimed according to the database but does not know of, because the response to the claim
/// was lost. `leased` says which leases it knows of. Returns how many jobs were released.
///
/// The response to a claim may arrive for as long as `ack_timeout` after the claim began; a later one must be treated as lost. The
/// age of a claim is measured before `leased` is asked, so that no lease is released that became known in between, however
/// long this process is suspended between the two.
pub async fn release_unacknowledged(
    connection: &mut PgConnection,
    worker: &str,
    leased: impl FnOnce() -> Vec<LeaseKey>,
    ack_timeout: Duration,
) -> Result<u64> {
    let claimed_before = sqlx::query_scalar!(
        r#"SELECT clock_timestamp() - make_interval(secs => $1) AS "before!""#,
        ack_timeout.as_secs_f64()
    )
    .fetch_one(&mut *connection)
    .await?;
    let leased = leased();
    let (ids, taken_at) = columns(&leased);
    let result = sqlx::query!(
        "UPDATE apalis.jobs j SET status = 'Pending', lock_by = NULL, lock_at = NULL, attempts = j.attempts - 1
         WHERE j.lock_by = $1 AND j.status = 'Running' AND j.lock_at < $4
           AND NOT EXISTS (SELECT FROM unnest($2::text[], $3::timestamptz[]) AS l (id, taken_at)
                           WHERE l.id = j.id AND l.taken_at = j.lock_at)",
        worker,
        &ids as &[&str],
        &taken_at,
        claimed_before
    )
    .execute(connection)
    .await?;
    Ok(result.rows_affected())
}

fn columns(leases: &[LeaseKey]) -> (Vec<&str>, Vec<DateTime<Utc>>) {
    leases.iter().map(|(id, taken_at)| (id.as_str(), *taken_at)).unzip()
}

/// Stores a heartbeat of workers, and registers new workers.
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

/// Deregisters workers, so that jobs they still hold are given to others at once rather than after the heartbeat timeout.
pub async fn deregister(connection: &mut PgConnection, workers: &[(String, Queue)]) -> Result<()> {
    let names: Vec<&str> = workers.iter().map(|(name, _)| name.as_str()).collect();
    sqlx::query!("UPDATE apalis.workers SET last_seen = to_timestamp(0) WHERE id = ANY ($1)", &names as &[&str])
        .execute(connection)
        .await?;
    Ok(())
}

/// Takes the jobs of workers that have not sent a heartbeat for `timeout`. They are due again after a random delay that grows
/// with the attempts, so that a job that kills its process is separated from the jobs that ran beside it. A job without
/// attempts left is dead. Returns how many jobs were taken.
pub async fn rescue(connection: &mut PgConnection, timeout: Duration) -> Result<u64> {
    let rescued = sqlx::query_scalar!(
        r#"WITH lost AS (
               -- By worker, because the index also has every job that was claimed since the oldest snapshot, and workers
               -- are seldom lost.
               SELECT held.id FROM apalis.workers w
               CROSS JOIN LATERAL (
                   SELECT j.id FROM apalis.jobs j
                   WHERE j.lock_by = w.id AND j.status IN ('Queued', 'Running')
                   LIMIT 5000
                   FOR UPDATE SKIP LOCKED
               ) held
               WHERE w.last_seen < now() - make_interval(secs => $1)
           ), unheld AS (
               SELECT id FROM apalis.jobs
               WHERE lock_by IS NULL AND status IN ('Queued', 'Running')
               LIMIT 5000
               FOR UPDATE SKIP LOCKED
           ), taken AS (
               UPDATE apalis.jobs j
               SET status = CASE WHEN j.attempts < j.max_attempts THEN 'Failed' ELSE 'Killed' END,
                   lock_by = NULL,
                   run_at = now() + random() * least(power(2, least(j.attempts - 1, 10)), 60) * interval '1 second',
                   done_at = CASE WHEN j.attempts < j.max_attempts THEN NULL ELSE now() END,
                   last_result = jsonb_build_object('Err', 'the worker was lost', 'attempts',
                       jsonb_path_query_array(coalesce(j.last_result -> 'attempts', '[]'), '$[last - 8 to last]')
                       || jsonb_build_object('attempt', j.attempts, 'at', now(), 'error', 'the worker was lost'))
               WHERE j.id = ANY (ARRAY(SELECT id FROM lost UNION ALL SELECT id FROM unheld))
               RETURNING j.job_type
           ), counted AS (
               INSERT INTO job_counts AS c (queue, worker, done, failed)
               SELECT job_type, '', 0, count(*) FROM taken GROUP BY job_type ORDER BY job_type
               ON CONFLICT (queue, slot, worker) DO UPDATE SET failed = c.failed + excluded.failed
           )
           SELECT count(*) AS "taken!" FROM taken"#,
        timeout.as_secs_f64()
    )
    .fetch_one(connection)
    .await?;
    Ok(rescued.unsigned_abs())
}
