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
