//! Hourly housekeeping: partitions ahead, and what is no longer needed goes, in chunks that hold nothing up.

use sqlx::PgPool;

use super::settings;
use crate::Result;

/// Rows removed by one statement.
const CHUNK: i64 = 5000;

/// A hundred years: a setting beyond it, or below one, was mistyped, and must neither fail the housekeeping nor empty
/// the tables.
const LONGEST_YEARS: i32 = 100;

/// Does everything once. Safe to repeat and to run in several processes.
pub async fn run(pool: &PgPool) -> Result<()> {
    let settings = settings::load(&mut *pool.acquire().await?).await?;
    let created =
        sqlx::query_scalar!(r#"SELECT create_activity_partitions(now(), 3) AS "created!""#).fetch_one(pool).await?;
    let keep_months = settings.activity_keep_months.clamp(1, LONGEST_YEARS * 12);
    let dropped = drop_old_partitions(pool, keep_months).await?;
    let keep_done_hours = settings.keep_done_hours.clamp(1, LONGEST_YEARS * 365 * 24);
    let keep_dead_days = settings.keep_dead_days.clamp(1, LONGEST_YEARS * 365);
    let jobs = prune_jobs(pool, keep_done_hours, keep_dead_days).await?;
    let rows = prune_rows(pool).await?;
    tracing::info!(
        partitions.created = created,
        partitions.dropped = dropped,
        jobs.pruned = jobs,
        rows.pruned = rows,
        "housekeeping is done"
    );
    Ok(())
}

/// Drops the monthly partitions that end before the retention.
async fn drop_old_partitions(pool: &PgPool, keep_months: i32) -> Result<i32> {
    Ok(sqlx::query_scalar!(r#"SELECT drop_activity_partitions(now(), $1) AS "dropped!""#, keep_months)
        .fetch_one(pool)
        .await?)
}

async fn prune_jobs(pool: &PgPool, keep_done_hours: i32, keep_dead_days: i32) -> Result<u64> {
    let mut pruned = 0;
    loop {
        let removed = sqlx::query!(
            "DELETE FROM apalis.jobs WHERE id IN (
                 SELECT id FROM apalis.jobs
                 WHERE (status = 'Done' AND done_at < now() - make_interval(hours => $1))
                    OR (status = 'Killed' AND done_at < now() - make_interval(days => $2))
                 LIMIT $3
                 FOR UPDATE SKIP LOCKED)",
            keep_done_hours,
            keep_dead_days,
            CHUNK
        )
        .execute(pool)
        .await?
        .rows_affected();
        pruned += removed;
        if removed == 0 {
            break;
        }
    }
    // Workers of earlier starts that hold nothing any more.
    sqlx::query!(
        "DELETE FROM apalis.workers w
         WHERE w.last_seen < now() - interval '1 hour' AND NOT EXISTS (SELECT FROM apalis.jobs j WHERE j.lock_by = w.id)"
    )
    .execute(pool)
    .await?;
    Ok(pruned)
}

/// Expired sessions (their refresh tokens go with them), used refresh tokens, answered idempotency keys, and the chunks
/// of replies that were finished a while ago and whose text is stored as a message.
async fn prune_rows(pool: &PgPool) -> Result<u64> {
    let mut pruned = 0;
    pruned += sqlx::query!("DELETE FROM sessions WHERE expires_at < now() - interval '7 days'")
        .execute(pool)
        .await?
        .rows_affected();
    pruned += sqlx::query!("DELETE FROM refresh_tokens WHERE used_at < now() - interval '30 days'")
        .execute(pool)
        .await?
        .rows_affected();
    pruned += sqlx::query!("DELETE FROM idempotency_keys WHERE created_at < now() - interval '24 hours'")
        .execute(pool)
        .await?
        .rows_affected();
    pruned += sqlx::query!(
        "DELETE FROM ai_reply_chunks c USING ai_replies r
         WHERE r.id = c.reply_id AND r.state = 'completed' AND r.finished_at < now() - interval '10 minutes'"
    )
    .execute(pool)
    .await?
    .rows_affected();
    Ok(pruned)
}
