//! Recomputing what the statistics are read from. How it stays exact is described in the migration that creates the tables.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::Result;

/// Recomputes the quarters that are not over, and some that are marked. Returns whether more are waiting: repeat it in another
/// transaction then. Does nothing while another transaction does it.
pub async fn quarters(connection: &mut PgConnection) -> Result<bool> {
    Ok(sqlx::query_scalar!(r#"SELECT refresh_stats() AS "has_more!""#).fetch_one(connection).await?)
}

/// Recomputes the lesson whose numbers are the oldest, if they are older than a minute. Returns the lesson; `None` if none was
/// recomputed.
///
/// A median needs all facts of a lesson, of which there can be many, so lessons take turns.
pub async fn next_lesson(connection: &mut PgConnection) -> Result<Option<Uuid>> {
    let is_ours =
        sqlx::query_scalar!(r#"SELECT pg_try_advisory_xact_lock(hashtextextended('stats', 0)) AS "is_ours!""#);
    if !is_ours.fetch_one(&mut *connection).await? {
        return Ok(None);
    }
    let lesson = sqlx::query_scalar!(
        "INSERT INTO lesson_stats (lesson_id, starts, completions, median_seconds, computed_at)
         SELECT l.id, f.starts, f.completions, f.median_seconds, now()
         FROM (
             SELECT l.id FROM lessons l LEFT JOIN lesson_stats s ON s.lesson_id = l.id
             WHERE l.deleted_at IS NULL AND (s.computed_at IS NULL OR s.computed_at < now() - interval '1 minute')
             ORDER BY s.computed_at NULLS FIRST, l.id LIMIT 1
         ) l
         CROSS JOIN LATERAL (
             SELECT count(*) AS starts, count(completed_at) AS completions,
                 (percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM completed_at - started_at)::float8)
                  FILTER (WHERE completed_at > started_at))::integer AS median_seconds
             FROM user_lesson_progress WHERE lesson_id = l.id
         ) f
         ON CONFLICT (lesson_id) DO UPDATE SET starts = excluded.starts, completions = excluded.completions,
             median_seconds = excluded.median_seconds, computed_at = excluded.computed_at
         RETURNING lesson_id"
    );
    Ok(lesson.fetch_optional(connection).await?)
}
