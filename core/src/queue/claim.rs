//! Claiming jobs.
//!
//! While a transaction holds an old snapshot, the index of waiting jobs keeps an entry for every job that has been claimed since,
//! and a claim that begins with the oldest job reads all of them. A claim therefore begins at a [`Position`] that earlier
//! claims have reached, and what has appeared behind it is looked for less often ([`find_late`]): jobs whose transaction took
//! long to commit, jobs that were released or rescued, and whatever was written in SQL.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::Queue;
use super::lease::Lease;
use crate::Result;

/// How far back a claim begins, at least. Jobs get their time at the end of their transaction, and few transactions take longer
/// to commit than this.
const COMMIT_SLACK: Duration = Duration::from_millis(500);

/// Most late jobs that are found at once.
pub const LATE_LIMIT: usize = 500;

/// How far the claims of a queue have come: no job that is due before this time waits, apart from late ones. The default is the
/// beginning of the queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position(Option<DateTime<Utc>>);

/// The result of a claim.
#[derive(Debug)]
pub struct Claimed {
    /// The claimed jobs.
    pub leases: Vec<Lease>,
    /// Where the next claim begins.
    pub next: Position,
}

/// Claims up to `limit` due jobs of a queue, by priority and then oldest first, from the beginning of the queue. Claims none
/// while the queue is paused.
pub async fn claim(connection: &mut PgConnection, queue: Queue, worker: &str, limit: i64) -> Result<Vec<Lease>> {
    Ok(claim_from(connection, queue, worker, limit, Position::default(), &[]).await?.leases)
}

/// Claims like [`claim`], but begins at `position`, and with the `late` jobs that [`find_late`] found.
pub async fn claim_from(
    connection: &mut PgConnection,
    queue: Queue,
    worker: &str,
    limit: i64,
    position: Position,
    late: &[String],
) -> Result<Claimed> {
    let slack = COMMIT_SLACK.as_secs_f64();
    let rows = match position.0 {
        None => {
            sqlx::query_file_as!(Row, "src/queue/claim.sql", queue.name(), worker, limit, slack)
                .fetch_all(connection)
                .await?
        }
        Some(from) => {
            sqlx::query_file_as!(Row, "src/queue/claim_from.sql", queue.name(), worker, limit, slack, from, late)
                .fetch_all(connection)
                .await?
        }
    };
    let next = Position(rows.first().and_then(|row| row.next));
    Ok(Claimed { leases: rows.into_iter().filter_map(Row::into_lease).collect(), next })
}

/// A claimed job, or the only row of a claim that found none.
struct Row {
    next: Option<DateTime<Utc>>,
    id: Option<String>,
    worker: Option<String>,
    payload: Option<Vec<u8>>,
    attempt: Option<i32>,
    max_attempts: Option<i32>,
    taken_at: Option<DateTime<Utc>>,
    waited: Option<f64>,
}

impl Row {
    fn into_lease(self) -> Option<Lease> {
        Some(Lease {
            id: self.id?,
            worker: self.worker?,
            payload: self.payload?,
            attempt: self.attempt?,
            max_attempts: self.max_attempts?,
            taken_at: self.taken_at?,
            waited: self.waited?,
        })
    }
}

/// The ids of due jobs that claims from `position` do not find, at most [`LATE_LIMIT`]: jobs that are due before it, and those with
/// a lower priority than usual.
pub async fn find_late(connection: &mut PgConnection, queue: Queue, position: Position) -> Result<Vec<String>> {
    let Some(from) = position.0 else { return Ok(Vec::new()) };
    let late = sqlx::query_scalar!(
        // One part for each range of the index.
        r#"SELECT id AS "id!" FROM (
               (SELECT id FROM apalis.jobs
                WHERE job_type = $1 AND priority = 0 AND run_at < $2 AND run_at <= now()
                  AND (status = 'Pending' OR (status = 'Failed' AND attempts < max_attempts))
                ORDER BY run_at LIMIT $3)
               UNION ALL
               (SELECT id FROM apalis.jobs
                WHERE job_type = $1 AND priority IS NULL AND run_at <= now()
                  AND (status = 'Pending' OR (status = 'Failed' AND attempts < max_attempts))
                ORDER BY run_at LIMIT $3)
               UNION ALL
               (SELECT id FROM apalis.jobs
                WHERE job_type = $1 AND priority < 0 AND run_at <= now()
                  AND (status = 'Pending' OR (status = 'Failed' AND attempts < max_attempts))
                ORDER BY priority DESC, run_at LIMIT $3)
           ) late LIMIT $3"#,
        queue.name(),
        from,
        i64::try_from(LATE_LIMIT).unwrap_or(i64::MAX)
    );
    Ok(late.fetch_all(connection).await?)
}

/// Whether it is time to look for late jobs of a queue: nobody has within `every`. Of several workers that ask, one is told so,
/// because looking for them costs the more the older the oldest snapshot is.
pub async fn begin_search(connection: &mut PgConnection, queue: Queue, every: Duration) -> Result<bool> {
    let begun = sqlx::query_scalar!(
        "INSERT INTO late_job_searches AS s (queue, begun_at) VALUES ($1, now())
         ON CONFLICT (queue) DO UPDATE SET begun_at = now()
         -- A time in the future was stored before the clock was set back.
         WHERE s.begun_at <= now() - make_interval(secs => $2) OR s.begun_at > now()
         RETURNING true",
        queue.name(),
        every.as_secs_f64()
    );
    Ok(begun.fetch_optional(connection).await?.is_some())
}
