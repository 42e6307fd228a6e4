//! Hourly housekeeping: creates partitions and removes old data, in chunks that delay nothing else.

use std::time::{Duration, Instant};

use sqlx::{Connection, PgPool};

use crate::settings::{self, Settings};
use crate::{Result, db};

/// The maximum number of counters of attempts at passwords, which take about 50 MB with their indexes.
const MAX_ATTEMPT_ROWS: i64 = 200_000;

/// Removes old data for about as long as `budget`, and maintains the partitions. Returns whether everything is done; if not, it
/// has to be run again. Safe to repeat and to run in several processes.
pub async fn run(pool: &PgPool, budget: Duration) -> Result<bool> {
    let settings = settings::load(&mut *db::acquire(pool).await?).await?;
    let mut chunks = Chunks { end: Instant::now() + budget, removed: 0, all_done: true };
    prune_jobs(pool, &settings, &mut chunks).await?;
    prune_rows(pool, &settings, &mut chunks).await?;
    let (created, dropped) = maintain_partitions(pool, &settings).await?;
    tracing::info!(
        partitions.created = created,
        partitions.dropped = dropped,
        rows.removed = chunks.removed,
        done = chunks.all_done,
        "housekeeping"
    );
    Ok(chunks.all_done)
}

/// The total of several statements that each remove a few thousand rows. (They identify rows by `ctid`, which does not change
/// while a row is locked, because joining a large table with itself would cost more than removing the rows.)
struct Chunks {
    end: Instant,
    removed: u64,
    all_done: bool,
}

impl Chunks {
    /// Adds the rows that a statement removed, and returns whether to repeat it: until no rows are left or the time is up. Each
    /// statement runs at least once, so that every run makes progress.
    fn should_continue(&mut self, rows: u64) -> bool {
        self.removed += rows;
        let is_out_of_time = rows > 0 && Instant::now() >= self.end;
        self.all_done &= !is_out_of_time;
        rows > 0 && !is_out_of_time
    }
}

/// Removes old jobs of all queues, including unknown ones, and workers of earlier starts that no longer hold jobs.
async fn prune_jobs(pool: &PgPool, settings: &Settings, chunks: &mut Chunks) -> Result<()> {
    let queues = sqlx::query_scalar!(r#"SELECT queue AS "queue!" FROM job_queues"#)
        .fetch_all(&mut *db::acquire(pool).await?)
        .await?;
    for queue in &queues {
        while chunks.should_continue(remove_done_jobs(pool, queue, settings.keep_done_hours).await?) {}
        while chunks.should_continue(remove_dead_jobs(pool, queue, settings.keep_dead_days).await?) {}
    }
    sqlx::query!(
        "DELETE FROM apalis.workers w
         WHERE w.last_seen < now() - interval '1 hour' AND NOT EXISTS (SELECT FROM apalis.jobs j WHERE j.lock_by = w.id)"
    )
    .execute(&mut *db::acquire(pool).await?)
    .await?;
    Ok(())
}

async fn remove_done_jobs(pool: &PgPool, queue: &str, keep_hours: i32) -> Result<u64> {
    let removed = sqlx::query!(
        "DELETE FROM apalis.jobs WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM apalis.jobs
             WHERE job_type = $1 AND status = 'Done' AND coalesce(done_at, run_at) < now() - make_interval(hours => $2)
             ORDER BY coalesce(done_at, run_at) LIMIT 5000
             FOR UPDATE SKIP LOCKED))",
        queue,
        keep_hours
    );
    Ok(removed.execute(&mut *db::acquire(pool).await?).await?.rows_affected())
}

async fn remove_dead_jobs(pool: &PgPool, queue: &str, keep_days: i32) -> Result<u64> {
    let removed = sqlx::query!(
        "DELETE FROM apalis.jobs WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM apalis.jobs
             WHERE job_type = $1 AND (status = 'Killed' OR (status = 'Failed' AND attempts >= max_attempts))
               AND coalesce(done_at, run_at) < now() - make_interval(days => $2)
             ORDER BY coalesce(done_at, run_at) LIMIT 5000
             FOR UPDATE SKIP LOCKED))",
        queue,
        keep_days
    );
    Ok(removed.execute(&mut *db::acquire(pool).await?).await?.rows_affected())
}

/// Removes expired sessions (with their refresh tokens, of which each has few), expired one-time links, devices that have not
/// signed in for long, attempts at passwords that are forgotten, old idempotency keys, the chunks of finished replies, whose
/// text is stored as a message, old events of users, old identifiers of content changes, old try-outs of instructions, old
/// addresses and browsers of users, and old counts.
///
/// `active_quarters` is kept: the statistics answer for any day, however long ago, and those of a day are computed from it
/// again when a learner of that day is deleted or gets another role. It grows by one row for each quarter of an hour in which
/// a user is active, and the rows of a user go with the user.
async fn prune_rows(pool: &PgPool, settings: &Settings, chunks: &mut Chunks) -> Result<()> {
    while chunks.should_continue(remove_sessions(pool, settings.keep_ended_session_days).await?) {}
    while chunks.should_continue(remove_password_resets(pool).await?) {}
    while chunks.should_continue(remove_devices(pool).await?) {}
    while chunks.should_continue(remove_attempts(pool).await?) {}
    remove_excess_attempts(pool, MAX_ATTEMPT_ROWS).await?;
    while chunks.should_continue(remove_email_verifications(pool).await?) {}
    while chunks.should_continue(remove_idempotency_keys(pool).await?) {}
    while chunks.should_continue(remove_reply_chunks(pool, settings.keep_failed_reply_days).await?) {}
    while chunks.should_continue(remove_user_events(pool).await?) {}
    while chunks.should_continue(remove_catalog_changes(pool).await?) {}
    while chunks.should_continue(remove_tryouts(pool).await?) {}
    while chunks.should_continue(remove_origins_of_activity(pool, settings.keep_origin_days).await?) {}
    while chunks.should_continue(remove_origins_of_sessions(pool, settings.keep_origin_days).await?) {}
    sqlx::query!("DELETE FROM job_counts WHERE slot < now() - interval '2 hours'")
        .execute(&mut *db::acquire(pool).await?)
        .await?;
    Ok(())
}

async fn remove_sessions(pool: &PgPool, keep_days: i32) -> Result<u64> {
    let removed = sqlx::query!(
        "DELETE FROM sessions WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM sessions WHERE expires_at < now() - make_interval(days => $1)
             ORDER BY expires_at LIMIT 1000
             FOR UPDATE SKIP LOCKED))",
        keep_days
    );
    Ok(removed.execute(&mut *db::acquire(pool).await?).await?.rows_affected())
}

/// There is at most one for each user, and few users have one, so no index is needed.
async fn remove_password_resets(pool: &PgPool) -> Result<u64> {
    let removed = sqlx::query!(
        "DELETE FROM password_resets WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM password_resets WHERE expires_at < now()
             ORDER BY expires_at LIMIT 1000
             FOR UPDATE SKIP LOCKED))"
    );
    Ok(removed.execute(&mut *db::acquire(pool).await?).await?.rows_affected())
}

async fn remove_devices(pool: &PgPool) -> Result<u64> {
    let removed = sqlx::query!(
        "DELETE FROM sign_in_devices WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM sign_in_devices WHERE expires_at < now()
             ORDER BY expires_at LIMIT 1000
             FOR UPDATE SKIP LOCKED))"
    );
    Ok(removed.execute(&mut *db::acquire(pool).await?).await?.rows_affected())
}

/// Here, too, there is at most one for each user.
async fn remove_email_verifications(pool: &PgPool) -> Result<u64> {
    let removed = sqlx::query!(
        "DELETE FROM email_verifications WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM email_verifications WHERE expires_at < now()
             ORDER BY expires_at LIMIT 1000
             FOR UPDATE SKIP LOCKED))"
    );
    Ok(removed.execute(&mut *db::acquire(pool).await?).await?.rows_affected())
}

async fn remove_attempts(pool: &PgPool) -> Result<u64> {
    let removed = sqlx::query!(
        "DELETE FROM sign_in_attempts WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM sign_in_attempts WHERE forgotten_at < now()
             ORDER BY forgotten_at LIMIT 5000
             FOR UPDATE SKIP LOCKED))"
    );
    Ok(removed.execute(&mut *db::acquire(pool).await?).await?.rows_affected())
}

/// Removes the rows beyond the newest `limit`, the least important first: those with few failures, of which a flood of made-up
/// addresses consists. Each row costs whoever makes it the check of a password, so there are not many more.
async fn remove_excess_attempts(pool: &PgPool, limit: i64) -> Result<u64> {
    let removed = sqlx::query!(
        "DELETE FROM sign_in_attempts WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM sign_in_attempts ORDER BY failures DESC, counted_at DESC OFFSET $1 LIMIT 100000))",
        limit
    );
    Ok(removed.execute(&mut *db::acquire(pool).await?).await?.rows_affected())
}

async fn remove_idempotency_keys(pool: &PgPool) -> Result<u64> {
    let removed = sqlx::query!(
        "DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM idempotency_keys WHERE created_at < now() - interval '24 hours'
             ORDER BY created_at LIMIT 5000
             FOR UPDATE SKIP LOCKED))"
    );
    Ok(removed.execute(&mut *db::acquire(pool).await?).await?.rows_affected())
}

async fn remove_user_events(pool: &PgPool) -> Result<u64> {
    let removed = sqlx::query!(
        "DELETE FROM user_events WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM user_events WHERE created_at < now() - interval '24 hours'
             ORDER BY created_at LIMIT 5000
             FOR UPDATE SKIP LOCKED))"
    );
    Ok(removed.execute(&mut *db::acquire(pool).await?).await?.rows_affected())
}

/// A day is far longer than the API keeps content (a minute) and than a transaction lasts.
async fn remove_catalog_changes(pool: &PgPool) -> Result<u64> {
    let removed = sqlx::query!(
        "DELETE FROM catalog_changes WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM catalog_changes WHERE changed_at < now() - interval '24 hours'
             ORDER BY changed_at LIMIT 5000
             FOR UPDATE SKIP LOCKED))"
    );
    Ok(removed.execute(&mut *db::acquire(pool).await?).await?.rows_affected())
}

/// Removes the chunks of up to a hundred replies. Returns the number of replies.
async fn remove_reply_chunks(pool: &PgPool, keep_failed_days: i32) -> Result<u64> {
    let replies = sqlx::query!(
        "WITH finished AS (
             SELECT id FROM ai_replies
             WHERE state IN ('completed', 'failed', 'cancelled') AND NOT chunks_removed
               AND finished_at < now() - CASE state WHEN 'failed' THEN make_interval(days => $1) ELSE interval '10 minutes' END
               AND finished_at < now() - interval '10 minutes'
             ORDER BY finished_at LIMIT 100
             FOR UPDATE SKIP LOCKED
         ), removed AS (
             DELETE FROM ai_reply_chunks c USING finished f WHERE c.reply_id = f.id
         )
         UPDATE ai_replies r SET chunks_removed = true FROM finished f WHERE r.id = f.id",
        keep_failed_days
    );
    Ok(replies.execute(&mut *db::acquire(pool).await?).await?.rows_affected())
}

async fn remove_tryouts(pool: &PgPool) -> Result<u64> {
    let removed = sqlx::query!(
        "DELETE FROM ai_tryouts WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM ai_tryouts WHERE created_at < now() - interval '1 day'
             ORDER BY created_at LIMIT 1000
             FOR UPDATE SKIP LOCKED))"
    );
    Ok(removed.execute(&mut *db::acquire(pool).await?).await?.rows_affected())
}

/// Removes the addresses and browsers from what happened. By the keys of the rows, because there may be several partitions.
async fn remove_origins_of_activity(pool: &PgPool, keep_days: i32) -> Result<u64> {
    let removed = sqlx::query!(
        "UPDATE activity_log a SET ip = NULL, user_agent = NULL
         FROM (
             SELECT id, occurred_at FROM activity_log
             WHERE num_nonnulls(ip, user_agent) > 0 AND occurred_at < now() - make_interval(days => $1)
             ORDER BY occurred_at LIMIT 5000
             FOR UPDATE SKIP LOCKED
         ) old
         WHERE a.id = old.id AND a.occurred_at = old.occurred_at",
        keep_days
    );
    Ok(removed.execute(&mut *db::acquire(pool).await?).await?.rows_affected())
}

/// Removes the addresses and browsers from sessions that have not been used for so long.
async fn remove_origins_of_sessions(pool: &PgPool, keep_days: i32) -> Result<u64> {
    let removed = sqlx::query!(
        "UPDATE sessions SET ip = NULL, user_agent = NULL WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM sessions
             WHERE num_nonnulls(ip, user_agent) > 0 AND last_used_at < now() - make_interval(days => $1)
             ORDER BY last_used_at LIMIT 5000
             FOR UPDATE SKIP LOCKED))",
        keep_days
    );
    Ok(removed.execute(&mut *db::acquire(pool).await?).await?.rows_affected())
}

/// Creates the next monthly partitions, and drops those that are older than the retention. Returns how many of each.
///
/// Both wait for sessions that use the log, and block others meanwhile, so the wait is short. There is time for it in the next
/// run.
async fn maintain_partitions(pool: &PgPool, settings: &Settings) -> Result<(i32, i32)> {
    let mut connection = db::acquire(pool).await?;
    let mut tx = connection.begin().await?;
    sqlx::query!("SET LOCAL lock_timeout = '2s'").execute(&mut *tx).await?;
    let created =
        sqlx::query_scalar!(r#"SELECT create_activity_partitions(now(), 3) AS "created!""#).fetch_one(&mut *tx).await?;
    let dropped = sqlx::query_scalar!(
        r#"SELECT drop_activity_partitions(now(), $1) AS "dropped!""#,
        settings.activity_keep_months
    )
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok((created, dropped))
}
