//! The trending rank: the number of likes that a project got in the last seven days, `trending_likes`.
//!
//! Every recount of a project's likes counts the recent ones too and stores where their seven days begin (`trending_since`),
//! so that the number can be checked. A like leaves the rank without anything happening to the project, so a scheduled job
//! recounts the projects whose seven days began too long ago.

use sqlx::PgConnection;

use super::likes;
use crate::Result;

/// Recounts at most `limit` published projects that may have likes older than the seven days and ten minutes. Returns how many.
///
/// Their rows are locked before they are counted in a later statement, so a recount of likes that has committed is seen, and one
/// that has not waits and stores a newer number.
pub async fn refresh(connection: &mut PgConnection, limit: i64) -> Result<usize> {
    let project_ids = sqlx::query_scalar!(
        "SELECT id FROM showcase_projects
         WHERE deleted_at IS NULL AND status = 'published' AND trending_likes > 0
           AND trending_since < now() - interval '7 days 10 minutes'
         LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED",
        limit
    )
    .fetch_all(&mut *connection)
    .await?;
    likes::store_counts(connection, &project_ids).await?;
    Ok(project_ids.len())
}
