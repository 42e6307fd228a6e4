//! The caller's own progress over all roadmaps, waiting for a rollup, and the caller's recorded activities.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::Result;
use crate::actor::Caller;
use crate::db::Db;

/// The longest wait for a rollup.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// How often the marker is read while waiting.
const POLL_INTERVAL: Duration = Duration::from_millis(15);

/// Waits until the caller's rollup of a visible roadmap has reached the sequence number `seq`, but at most one second.
/// Returns immediately if no change has that number yet. Holds no connection while it waits.
pub async fn wait_for(db: &Db, caller: &Caller, roadmap_id: Uuid, seq: i64) -> Result<()> {
    let deadline = Instant::now() + MAX_WAIT;
    loop {
        let is_coming = sqlx::query_scalar!(
            r#"SELECT d.done_seq < $3 AND d.requested_seq >= $3 AS "is_coming!"
               FROM progress_dirty d JOIN visible_roadmaps r ON r.id = d.roadmap_id
               WHERE d.user_id = $1 AND d.roadmap_id = $2"#,
            caller.user_id,
            roadmap_id,
            seq
        )
        .fetch_optional(&mut *db.acquire().await?)
        .await?;
        if is_coming != Some(true) || Instant::now() >= deadline {
            return Ok(());
        }
        sleep(POLL_INTERVAL).await;
    }
}

/// The caller's progress over the distinct required lessons of all roadmaps that they started, in whole percent; `None` if
/// they started none. Counted from the facts as long as the stored number belongs to older content.
pub async fn overall_percent(connection: &mut PgConnection, caller: &Caller) -> Result<Option<i16>> {
    let percent = sqlx::query_scalar!(
        r#"SELECT CASE
               WHEN EXISTS (
                   SELECT FROM progress_dirty d JOIN roadmaps r ON r.id = d.roadmap_id
                   WHERE d.user_id = $1 AND d.done_version < r.content_version
               ) THEN (SELECT percent FROM overall_percents(array[$1]))
               ELSE u.progress_percent
           END AS percent
           FROM users u WHERE u.id = $1"#,
        caller.user_id
    );
    Ok(percent.fetch_optional(connection).await?.flatten())
}

/// A recorded action of the caller.
#[derive(Clone, Debug)]
pub struct Activity {
    /// Identifies the row of the activity log.
    pub id: Uuid,
    /// When the action was accepted.
    pub occurred_at: DateTime<Utc>,
    /// As in [`crate::activity::Event::action`].
    pub action: String,
    /// The name of the target's [`crate::noun::Noun`]; `None` if the action has no target.
    pub target_type: Option<String>,
    /// Identifies the target.
    pub target_id: Option<Uuid>,
    /// The target's title at that time.
    pub target_title: Option<String>,
}

/// At most `limit` of the caller's activities, newest first, starting after the one with the time and id of `before`.
pub async fn activities(
    connection: &mut PgConnection,
    caller: &Caller,
    before: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<Activity>> {
    let (occurred_at, id) = before.unzip();
    let rows = sqlx::query_as!(
        Activity,
        // The first page uses the same comparison as all others, so that the index serves every page.
        "SELECT id, occurred_at, action, target_type, target_id, target_title
         FROM activity_log
         WHERE actor_id = $1
           AND (occurred_at, id)
               < (coalesce($2, 'infinity'::timestamptz), coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
         ORDER BY occurred_at DESC, id DESC
         LIMIT $4",
        caller.user_id,
        occurred_at,
        id,
        limit
    );
    Ok(rows.fetch_all(connection).await?)
}
