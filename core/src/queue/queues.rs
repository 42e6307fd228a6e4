//! The state of queues and workers, for operators.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;
use uuid::Uuid;

use super::Queue;
use super::lease::HEARTBEAT_TIMEOUT;
use crate::Result;

/// The current state of a queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct QueueState {
    /// The name of the queue. May differ from those of [`Queue`], because jobs of unknown queues are not hidden.
    pub name: String,
    /// Jobs that could run now.
    pub due: i64,
    /// How long the oldest of them has been due, in seconds; `None` if no job is due.
    pub oldest_due_seconds: Option<f64>,
    /// Jobs that have not been attempted and are not due yet.
    pub scheduled: i64,
    /// Jobs that have failed and wait for their next attempt.
    pub retrying: i64,
    /// Jobs that a worker has claimed.
    pub running: i64,
    /// Jobs that are dead and have not been discarded.
    pub dead: i64,
    /// Jobs done in the last minute. Runs are counted in slots of ten seconds.
    pub done_last_minute: i64,
    /// Jobs done in the last hour.
    pub done_last_hour: i64,
    /// Attempts that failed in the last hour, including those of lost workers.
    pub failed_last_hour: i64,
    /// Workers that have sent a heartbeat within [`HEARTBEAT_TIMEOUT`], one for each process.
    pub workers: i64,
    /// When it was paused; `None` if it is not paused.
    pub paused_at: Option<DateTime<Utc>>,
    /// Who paused it; `None` for the command line.
    pub paused_by: Option<Uuid>,
}

/// The state of all queues, by name. The cost depends on the number of unfinished jobs, not on the finished ones.
pub async fn overview(connection: &mut PgConnection) -> Result<Vec<QueueState>> {
    let known: Vec<&str> = Queue::ALL.into_iter().map(Queue::name).collect();
    let queues = sqlx::query_as!(
        QueueState,
        r#"WITH names AS (
               SELECT unnest($1::text[]) AS name UNION SELECT queue FROM job_queues
           ), held AS (
               SELECT job_type AS name, count(*) AS running
               FROM apalis.jobs WHERE status IN ('Queued', 'Running') GROUP BY 1
           ), ended AS (
               SELECT queue AS name, sum(done) FILTER (WHERE slot > now() - interval '1 minute') AS done_minute,
                   sum(done) AS done_hour, sum(failed) AS failed_hour
               FROM job_counts WHERE slot > now() - interval '1 hour' GROUP BY 1
           ), alive AS (
               SELECT worker_type AS name, count(*) AS workers
               FROM apalis.workers WHERE last_seen > now() - make_interval(secs => $2) GROUP BY 1
           )
           SELECT n.name AS "name!", due.due AS "due!",
               CASE WHEN due.due > 0 THEN extract(epoch FROM now() - greatest(due.oldest, to_timestamp(0))) END::float8
                   AS oldest_due_seconds,
               later.scheduled AS "scheduled!", later.retrying AS "retrying!",
               coalesce(held.running, 0) AS "running!", dead.dead AS "dead!",
               coalesce(ended.done_minute, 0)::bigint AS "done_last_minute!",
               coalesce(ended.done_hour, 0)::bigint AS "done_last_hour!",
               coalesce(ended.failed_hour, 0)::bigint AS "failed_last_hour!",
               coalesce(alive.workers, 0) AS "workers!", p.paused_at AS "paused_at?", p.paused_by AS "paused_by?"
           FROM names n
           CROSS JOIN LATERAL (
               SELECT count(*) AS due, min(run_at) AS oldest FROM apalis.jobs
               WHERE job_type = n.name AND run_at <= now()
                 AND (status = 'Pending' OR (status = 'Failed' AND attempts < max_attempts))
           ) due
           CROSS JOIN LATERAL (
               SELECT count(*) FILTER (WHERE status = 'Pending') AS scheduled,
                   count(*) FILTER (WHERE status = 'Failed') AS retrying
               FROM apalis.jobs
               WHERE job_type = n.name AND run_at > now()
                 AND (status = 'Pending' OR (status = 'Failed' AND attempts < max_attempts))
           ) later
           CROSS JOIN LATERAL (
               SELECT count(*) AS dead FROM apalis.jobs
               WHERE job_type = n.name AND (status = 'Killed' OR (status = 'Failed' AND attempts >= max_attempts))
                 AND (metadata -> 'discarded') IS NULL
           ) dead
           LEFT JOIN held ON held.name = n.name
           LEFT JOIN ended ON ended.name = n.name
           LEFT JOIN alive ON alive.name = n.name
           LEFT JOIN paused_queues p ON p.queue = n.name
           ORDER BY n.name"#,
        &known as &[&str],
        HEARTBEAT_TIMEOUT.as_secs_f64()
    );
    Ok(queues.fetch_all(connection).await?)
}

/// A worker: one start of a process, for one of its queues.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Worker {
    /// Its name, which is never reused by another start.
    pub name: String,
    /// The queue that it processes.
    pub queue: String,
    /// When it started.
    pub started_at: Option<DateTime<Utc>>,
    /// Its last heartbeat.
    pub last_seen: DateTime<Utc>,
    /// Whether that was within [`HEARTBEAT_TIMEOUT`]. If not, its jobs will be given to others.
    pub is_alive: bool,
    /// The number of jobs it has claimed.
    pub held: i64,
}

/// Live workers, and lost workers that still have jobs, by name: at most `limit` after the name `after`.
pub async fn workers(connection: &mut PgConnection, after: Option<&str>, limit: i64) -> Result<Vec<Worker>> {
    let workers = sqlx::query_as!(
        Worker,
        r#"SELECT w.id AS name, w.worker_type AS queue, w.started_at, w.last_seen,
               w.last_seen > now() - make_interval(secs => $3) AS "is_alive!", coalesce(h.held, 0) AS "held!"
           FROM apalis.workers w
           LEFT JOIN (SELECT lock_by, count(*) AS held FROM apalis.jobs WHERE status IN ('Queued', 'Running') GROUP BY 1) h
               ON h.lock_by = w.id
           WHERE w.id > $1 AND (w.last_seen > now() - make_interval(secs => $3) OR h.held > 0)
           ORDER BY w.id LIMIT $2"#,
        after.unwrap_or_default(),
        limit,
        HEARTBEAT_TIMEOUT.as_secs_f64()
    );
    Ok(workers.fetch_all(connection).await?)
}
