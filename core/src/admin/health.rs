//! How the database is, and whether everything derived is up to date, in a few numbers.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::Result;

/// The time of the database.
pub async fn database_time(connection: &mut PgConnection) -> Result<DateTime<Utc>> {
    Ok(sqlx::query_scalar!(r#"SELECT clock_timestamp() AS "now!""#).fetch_one(connection).await?)
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
                  AND (status = 'Pending' OR (status = 'Failed' AND attempts < max_attempts)))
               + (SELECT count(*) FROM apalis.jobs
                  WHERE job_type <> 'maintenance' AND status IN ('Queued', 'Running'))
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
