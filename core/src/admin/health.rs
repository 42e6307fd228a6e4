//! How the database and the queues are, in a few numbers.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::Result;

/// The queues at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Queues {
    /// Jobs that are due or will be, and those being done.
    pub waiting: i64,
    /// For how long the oldest job that is due has been waiting, in seconds; none = nothing is due.
    pub oldest_due_seconds: Option<f64>,
    /// Jobs that have given up.
    pub dead: i64,
    /// Workers that gave a sign of life in the last 30 s, one for each queue of a process.
    pub workers: i64,
}

/// The time of the database.
pub async fn database_time(connection: &mut PgConnection) -> Result<DateTime<Utc>> {
    Ok(sqlx::query_scalar!(r#"SELECT clock_timestamp() AS "now!""#).fetch_one(connection).await?)
}

/// Looks at the queues.
pub async fn queues(connection: &mut PgConnection) -> Result<Queues> {
    let queues = sqlx::query_as!(
        Queues,
        r#"SELECT
               count(*) FILTER (WHERE NOT is_dead) AS "waiting!",
               extract(epoch FROM now() - min(run_at) FILTER (
                   WHERE NOT is_dead AND status IN ('Pending', 'Failed') AND run_at <= now()))::float8 AS oldest_due_seconds,
               count(*) FILTER (WHERE is_dead) AS "dead!",
               (SELECT count(*) FROM apalis.workers WHERE last_seen > now() - interval '30 seconds') AS "workers!"
           FROM (
               SELECT *, status = 'Killed' OR (status = 'Failed' AND attempts >= max_attempts) AS is_dead
               FROM apalis.jobs WHERE status <> 'Done'
           ) j"#
    );
    Ok(queues.fetch_one(connection).await?)
}

/// One queue at a moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueueState {
    /// Its name.
    pub queue: String,
    /// Jobs that can be taken now.
    pub due: i64,
    /// Jobs that were enqueued for later.
    pub scheduled: i64,
    /// Jobs that have failed and wait for their next attempt.
    pub retrying: i64,
    /// Jobs that a worker holds.
    pub running: i64,
    /// Jobs that have given up.
    pub dead: i64,
    /// For how long the oldest job that is due has been waiting, in seconds; none = nothing is due.
    pub oldest_due_seconds: Option<f64>,
}

/// The queues that have unfinished jobs. Each part has an index of its own, so what is kept of the past costs
/// nothing.
pub async fn queue_states(connection: &mut PgConnection) -> Result<Vec<QueueState>> {
    let states = sqlx::query_as!(
        QueueState,
        r#"SELECT job_type AS "queue!",
               count(*) FILTER (WHERE state = 'due') AS "due!",
               count(*) FILTER (WHERE state = 'scheduled') AS "scheduled!",
               count(*) FILTER (WHERE state = 'retrying') AS "retrying!",
               count(*) FILTER (WHERE state = 'running') AS "running!",
               count(*) FILTER (WHERE state = 'dead') AS "dead!",
               extract(epoch FROM now() - min(greatest(run_at, 'epoch')) FILTER (WHERE state = 'due'))::float8
                   AS oldest_due_seconds
           FROM (
               SELECT job_type, run_at,
                   CASE WHEN run_at <= now() THEN 'due' WHEN status = 'Failed' THEN 'retrying' ELSE 'scheduled' END AS state
               FROM apalis.jobs WHERE status = 'Pending' OR (status = 'Failed' AND attempts < max_attempts)
               UNION ALL
               SELECT job_type, run_at, 'running' FROM apalis.jobs WHERE status IN ('Queued', 'Running')
               UNION ALL
               SELECT job_type, run_at, 'dead' FROM apalis.jobs
               WHERE status = 'Killed' OR (status = 'Failed' AND attempts >= max_attempts)
           ) j
           GROUP BY job_type ORDER BY job_type"#
    );
    Ok(states.fetch_all(connection).await?)
}

/// What has been marked as stale and not been worked off yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stale {
    /// For how long the oldest marker of a learner's progress has waited, in seconds; none = none is stale.
    pub progress_seconds: Option<f64>,
    /// The same of a project's likes.
    pub likes_seconds: Option<f64>,
    /// Roadmaps whose learners are being recomputed.
    pub roadmaps: i64,
}

/// Looks at the markers.
pub async fn stale(connection: &mut PgConnection) -> Result<Stale> {
    let stale = sqlx::query_as!(
        Stale,
        r#"SELECT
               extract(epoch FROM now() - (SELECT min(requested_at) FROM progress_dirty WHERE done_seq < requested_seq))::float8
                   AS progress_seconds,
               extract(epoch FROM now() - (SELECT min(marked_at) FROM likes_dirty))::float8 AS likes_seconds,
               (SELECT count(*) FROM roadmaps WHERE recomputed_version < content_version) AS "roadmaps!""#
    );
    Ok(stale.fetch_one(connection).await?)
}

/// How much is under way: jobs that are not finished (but for housekeeping, which never ends), stale markers, roadmaps
/// that wait to be recomputed. 0 = everything derived is up to date.
pub async fn unsettled(connection: &mut PgConnection) -> Result<i64> {
    let count = sqlx::query_scalar!(
        r#"SELECT
               (SELECT count(*) FROM apalis.jobs
                WHERE job_type <> 'maintenance'
                  AND (status IN ('Pending', 'Queued', 'Running') OR (status = 'Failed' AND attempts < max_attempts)))
               + (SELECT count(*) FROM progress_dirty WHERE done_seq < requested_seq)
               + (SELECT count(*) FROM likes_dirty)
               + (SELECT count(*) FROM roadmaps WHERE recomputed_version < content_version) AS "count!""#
    );
    Ok(count.fetch_one(connection).await?)
}

/// Accounts whose address is at `domain`.
pub async fn accounts_at(connection: &mut PgConnection, domain: &str) -> Result<i64> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM users WHERE right(email, length($1) + 1) = '@' || $1"#,
        domain
    );
    Ok(count.fetch_one(connection).await?)
}
