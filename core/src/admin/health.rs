//! How the database is, and whether everything derived is up to date, in a few numbers.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::Result;

/// The time of the database.
pub async fn database_time(connection: &mut PgConnection) -> Result<DateTime<Utc>> {
    Ok(sqlx::query_scalar!(r#"SELECT clock_timestamp() AS "now!""#).fetch_one(connection).await?)
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
