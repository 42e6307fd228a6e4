//! What housekeeping removes, a few thousand rows with each statement. Rows that others have locked are left for the next time.
//!
//! The statements identify rows by `ctid`, which does not change while a row is locked, because joining a large table with itself would
//! cost more than removing the rows.

use sqlx::PgConnection;

use crate::Result;

/// How many days the sums of what the tools have used are kept.
const KEEP_SPENDING_DAYS: i32 = 400;

/// Reads which queues there are.
pub(super) async fn read_queues(connection: &mut PgConnection, queues: &mut Vec<String>) -> Result<u64> {
    let found = sqlx::query_scalar!(r#"SELECT queue AS "queue!" FROM job_queues"#);
    *queues = found.fetch_all(connection).await?;
    Ok(queues.len() as u64)
}

pub(super) async fn remove_done_jobs(connection: &mut PgConnection, queue: &str, keep_hours: i32) -> Result<u64> {
    let removed = sqlx::query!(
        "DELETE FROM apalis.jobs WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM apalis.jobs
             WHERE job_type = $1 AND status = 'Done' AND coalesce(done_at, run_at) < now() - make_interval(hours => $2)
             ORDER BY coalesce(done_at, run_at) LIMIT 5000
             FOR UPDATE SKIP LOCKED))",
        queue,
        keep_hours
    );
    Ok(removed.execute(connection).await?.rows_affected())
}

pub(super) async fn remove_dead_jobs(connection: &mut PgConnection, queue: &str, keep_days: i32) -> Result<u64> {
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
    Ok(removed.execute(connection).await?.rows_affected())
}

pub(super) async fn remove_sessions(connection: &mut PgConnection, keep_days: i32) -> Result<u64> {
    let removed = sqlx::query!(
        "DELETE FROM sessions WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM sessions WHERE expires_at < now() - make_interval(days => $1)
             ORDER BY expires_at LIMIT 1000
             FOR UPDATE SKIP LOCKED))",
        keep_days
    );
    Ok(removed.execute(connection).await?.rows_affected())
}

/// There is at most one for each user, and few users have one, so no index is needed.
pub(super) async fn remove_password_resets(connection: &mut PgConnection) -> Result<u64> {
    let removed = sqlx::query!(
        "DELETE FROM password_resets WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM password_resets WHERE expires_at < now()
             ORDER BY expires_at LIMIT 1000
             FOR UPDATE SKIP LOCKED))"
    );
    Ok(removed.execute(connection).await?.rows_affected())
}

pub(super) async fn remove_devices(connection: &mut PgConnection) -> Result<u64> {
    let removed = sqlx::query!(
        "DELETE FROM sign_in_devices WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM sign_in_devices WHERE expires_at < now()
             ORDER BY expires_at LIMIT 1000
             FOR UPDATE SKIP LOCKED))"
    );
    Ok(removed.execute(connection).await?.rows_affected())
}

/// Here, too, there is at most one for each user.
pub(super) async fn remove_email_verifications(connection: &mut PgConnection) -> Result<u64> {
    let removed = sqlx::query!(
        "DELETE FROM email_verifications WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM email_verifications WHERE expires_at < now()
             ORDER BY expires_at LIMIT 1000
             FOR UPDATE SKIP LOCKED))"
    );
    Ok(removed.execute(connection).await?.rows_affected())
}

pub(super) async fn remove_attempts(connection: &mut PgConnection) -> Result<u64> {
    let removed = sqlx::query!(
        "DELETE FROM sign_in_attempts WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM sign_in_attempts WHERE forgotten_at < now()
             ORDER BY forgotten_at LIMIT 5000
             FOR UPDATE SKIP LOCKED))"
    );
    Ok(removed.execute(connection).await?.rows_affected())
}

/// Removes the rows beyond the newest `limit`, the least important first: those with few failures, of which a flood of made-up
/// addresses consists. Each row costs whoever makes it the check of a password, so there are not many more.
pub(super) async fn remove_excess_attempts(connection: &mut PgConnection, limit: i64) -> Result<u64> {
    let removed = sqlx::query!(
        "DELETE FROM sign_in_attempts WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM sign_in_attempts ORDER BY failures DESC, counted_at DESC OFFSET $1 LIMIT 100000))",
        limit
    );
    Ok(removed.execute(connection).await?.rows_affected())
}

pub(super) async fn remove_idempotency_keys(connection: &mut PgConnection) -> Result<u64> {
    let removed = sqlx::query!(
        "DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM idempotency_keys WHERE created_at < now() - interval '24 hours'
             ORDER BY created_at LIMIT 5000
             FOR UPDATE SKIP LOCKED))"
    );
    Ok(removed.execute(connection).await?.rows_affected())
}

pub(super) async fn remove_user_events(connection: &mut PgConnection) -> Result<u64> {
    let removed = sqlx::query!(
        "DELETE FROM user_events WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM user_events WHERE created_at < now() - interval '24 hours'
             ORDER BY created_at LIMIT 5000
             FOR UPDATE SKIP LOCKED))"
    );
    Ok(removed.execute(connection).await?.rows_affected())
}

/// A day is far longer than the API keeps content (a minute) and than a transaction lasts.
pub(super) async fn remove_catalog_changes(connection: &mut PgConnection) -> Result<u64> {
    let removed = sqlx::query!(
        "DELETE FROM catalog_changes WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM catalog_changes WHERE changed_at < now() - interval '24 hours'
             ORDER BY changed_at LIMIT 5000
             FOR UPDATE SKIP LOCKED))"
    );
    Ok(removed.execute(connection).await?.rows_affected())
}

/// Removes the chunks of up to a hundred replies. Returns the number of replies.
pub(super) async fn remove_reply_chunks(connection: &mut PgConnection, keep_failed_days: i32) -> Result<u64> {
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
    Ok(replies.execute(connection).await?.rows_affected())
}

pub(super) async fn remove_tryouts(connection: &mut PgConnection) -> Result<u64> {
    let removed = sqlx::query!(
        "DELETE FROM ai_tryouts WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM ai_tryouts WHERE created_at < now() - interval '1 day'
             ORDER BY created_at LIMIT 1000
             FOR UPDATE SKIP LOCKED))"
    );
    Ok(removed.execute(connection).await?.rows_affected())
}

/// The periods that they are about are over.
pub(super) async fn remove_budget_warnings(connection: &mut PgConnection) -> Result<u64> {
    let removed = sqlx::query!(
        "DELETE FROM ai_budget_warnings WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM ai_budget_warnings WHERE starts_on < current_date - 62
             ORDER BY starts_on LIMIT 5000
             FOR UPDATE SKIP LOCKED))"
    );
    Ok(removed.execute(connection).await?.rows_affected())
}

/// Removes the sums of the oldest day that no budget and no figure is about. `verify` compares from the first day that is left, so all sums
/// of a day go together.
pub(super) async fn remove_spending(connection: &mut PgConnection) -> Result<u64> {
    let removed = sqlx::query!(
        "WITH oldest AS MATERIALIZED (
             SELECT min(day) AS day FROM (SELECT min(day) AS day FROM ai_learner_spending UNION ALL SELECT min(day) FROM ai_spending) d
         ), learners AS (
             DELETE FROM ai_learner_spending WHERE day = (SELECT day FROM oldest) AND day < current_date - $1::integer RETURNING 1
         ), tools AS (
             DELETE FROM ai_spending WHERE day = (SELECT day FROM oldest) AND day < current_date - $1::integer RETURNING 1
         )
         SELECT FROM learners UNION ALL SELECT FROM tools",
        KEEP_SPENDING_DAYS
    );
    Ok(removed.fetch_all(connection).await?.len() as u64)
}

/// Runs of evaluations keep a version from being activated for as long as it is the candidate. A year later it can be run again.
pub(super) async fn remove_evaluation_runs(connection: &mut PgConnection) -> Result<u64> {
    let removed = sqlx::query!(
        "DELETE FROM ai_evaluation_runs WHERE id = ANY (ARRAY(
             SELECT id FROM ai_evaluation_runs WHERE finished_at < now() - interval '1 year' ORDER BY id LIMIT 100
             FOR UPDATE SKIP LOCKED))"
    );
    Ok(removed.execute(connection).await?.rows_affected())
}

/// Removes the addresses and browsers from what happened. By the keys of the rows, because there may be several partitions.
pub(super) async fn remove_origins_of_activity(connection: &mut PgConnection, keep_days: i32) -> Result<u64> {
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
    Ok(removed.execute(connection).await?.rows_affected())
}

/// Removes the addresses and browsers from sessions that have not been used for so long.
pub(super) async fn remove_origins_of_sessions(connection: &mut PgConnection, keep_days: i32) -> Result<u64> {
    let removed = sqlx::query!(
        "UPDATE sessions SET ip = NULL, user_agent = NULL WHERE ctid = ANY (ARRAY(
             SELECT ctid FROM sessions
             WHERE num_nonnulls(ip, user_agent) > 0 AND last_used_at < now() - make_interval(days => $1)
             ORDER BY last_used_at LIMIT 5000
             FOR UPDATE SKIP LOCKED))",
        keep_days
    );
    Ok(removed.execute(connection).await?.rows_affected())
}

/// Removes workers of earlier starts that no longer hold jobs.
pub(super) async fn remove_workers(connection: &mut PgConnection) -> Result<u64> {
    let removed = sqlx::query!(
        "DELETE FROM apalis.workers WHERE id IN (
             SELECT id FROM apalis.workers w
             WHERE w.last_seen < now() - interval '1 hour'
               AND NOT EXISTS (SELECT FROM apalis.jobs j WHERE j.lock_by = w.id)
             FOR UPDATE SKIP LOCKED)"
    );
    Ok(removed.execute(connection).await?.rows_affected())
}

pub(super) async fn remove_job_counts(connection: &mut PgConnection) -> Result<u64> {
    let removed = sqlx::query!("DELETE FROM job_counts WHERE slot < now() - interval '2 hours'");
    Ok(removed.execute(connection).await?.rows_affected())
}
