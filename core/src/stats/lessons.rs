//! How lessons do.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::Result;

/// The numbers of a lesson.
#[derive(Clone, Debug)]
pub struct LessonNumbers {
    /// Identifies the lesson.
    pub lesson_id: Uuid,
    /// The title.
    pub title: String,
    /// How many learners have started it.
    pub starts: i32,
    /// How many of them have completed it.
    pub completions: i32,
    /// The median time from the start to the completion, in seconds; `None` if nobody took any.
    pub median_seconds: Option<i32>,
    /// When the numbers were computed; `None` if they never were.
    pub as_of: Option<DateTime<Utc>>,
}

/// At most `limit` lessons that are not deleted, in the order of their ids, starting after the id `after`.
pub async fn list(connection: &mut PgConnection, after: Option<Uuid>, limit: i64) -> Result<Vec<LessonNumbers>> {
    let lessons = sqlx::query_as!(
        LessonNumbers,
        r#"SELECT l.id AS lesson_id, l.title, coalesce(s.starts, 0) AS "starts!",
               coalesce(s.completions, 0) AS "completions!", s.median_seconds AS "median_seconds?",
               s.computed_at AS "as_of?"
           FROM lessons l LEFT JOIN lesson_stats s ON s.lesson_id = l.id
           WHERE l.deleted_at IS NULL AND l.id > coalesce($1, '00000000-0000-0000-0000-000000000000'::uuid)
           ORDER BY l.id LIMIT $2"#,
        after,
        limit
    );
    Ok(lessons.fetch_all(connection).await?)
}
