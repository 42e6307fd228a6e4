//! A few numbers that tell whether the database responds and every derived value is up to date.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::Result;

/// The current time by the clock of the database.
pub async fn database_time(connection: &mut PgConnection) -> Result<DateTime<Utc>> {
    Ok(sqlx::query_scalar!(r#"SELECT clock_timestamp() AS "now!""#).fetch_one(connection).await?)
}

/// Whether the session can change anything: the database is no standby, was not told to refuse writes, and gives a transaction
/// its number.
pub async fn accepts_writes(connection: &mut PgConnection) -> Result<bool> {
    let accepts = sqlx::query_scalar!(
        r#"SELECT CASE WHEN NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off'
               THEN pg_current_xact_id() IS NOT NULL ELSE false END AS "accepts!""#
    );
    Ok(accepts.fetch_one(connection).await?)
}

/// The role of a connection, and whether it may do more than the programs need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseRole {
    /// Its name.
    pub name: String,
    /// Whether nothing is forbidden to it.
    pub is_superuser: bool,
    /// Whether it may change the schema.
    pub owns_schema: bool,
}

/// Reads the role of the connection.
pub async fn role(connection: &mut PgConnection) -> Result<DatabaseRole> {
    let role = sqlx::query_as!(
        DatabaseRole,
        r#"SELECT current_user::text AS "name!", r.rolsuper AS "is_superuser!",
               EXISTS (SELECT FROM pg_class WHERE oid = to_regclass('users') AND pg_has_role(relowner, 'USAGE'))
                   AS "owns_schema!"
           FROM pg_roles r WHERE r.rolname = current_user"#
    );
    Ok(role.fetch_one(connection).await?)
}

/// What is marked as stale and has not been recomputed yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stale {
    /// The age of the oldest stale progress marker in seconds; `None` if no progress is stale.
    pub progress_seconds: Option<f64>,
    /// The age of the oldest likes marker in seconds; `None` if no project is marked.
    pub likes_seconds: Option<f64>,
    /// The number of roadmaps whose recomputation is pending.
    pub roadmaps: i64,
}

/// Reads the markers.
pub async fn stale(connection: &mut PgConnection) -> Result<Stale> {
    let stale = sqlx::query_as!(
        Stale,
        r#"SELECT
               (SELECT greatest(extract(epoch FROM now() - min(requested_at)), CASE WHEN min(requested_at) IS NOT NULL THEN 0 END)
                FROM progress_dirty WHERE done_seq < requested_seq)::float8 AS progress_seconds,
               (SELECT greatest(extract(epoch FROM now() - min(marked_at)), CASE WHEN min(marked_at) IS NOT NULL THEN 0 END)
                FROM likes_dirty)::float8 AS likes_seconds,
               (SELECT count(*) FROM roadmaps WHERE recomputed_version < content_version) AS "roadmaps!""#
    );
    Ok(stale.fetch_one(connection).await?)
}

/// The number of unfinished jobs (except those of the queue `maintenance`, which are scheduled continuously), stale markers,
/// uses that are not counted yet, and roadmaps to recompute. 0 means that every derived value is up to date.
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
               + (SELECT count(*) FROM library_uses)
               + (SELECT count(*) FROM lesson_tasks_dirty)
               + (SELECT count(*) FROM roadmaps WHERE recomputed_version < content_version) AS "count!""#
    );
    Ok(count.fetch_one(connection).await?)
}

/// The number of accounts whose email address is in `domain`.
pub async fn accounts_at(connection: &mut PgConnection, domain: &str) -> Result<i64> {
    let count = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM users WHERE right(email, length($1) + 1) = '@' || $1"#,
        domain
    );
    Ok(count.fetch_one(connection).await?)
}
