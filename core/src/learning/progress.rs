//! The caller's own progress: over all roadmaps, as fresh as a change, and the record of what was done.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::Result;
use crate::actor::Caller;
use crate::db::Db;

/// Longest wait for a rollup.
const PATIENCE: Duration = Duration::from_secs(1);

/// Pause between two looks at the marker.
const PAUSE: Duration = Duration::from_millis(15);

/// Waits until the caller's rollup of a visible roadmap has seen the sequence number `seq`, but at most a second. Holds no
/// connection while it waits, and does not wait for a number that no change has got yet.
pub async fn wait_for(db: &Db, caller: &Caller, roadmap_id: Uuid, seq: i64) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let is_coming = sqlx::query_scalar!(
            r#"SELECT d.done_seq < $3 AND d.requested_seq >= $3 AS "is_coming!"
               FROM progress_dirty d JOIN visible_roadmaps r ON r.id = d.roadmap_id
               WHERE d.user_id = $1 AND d.roadmap_id = $2"#,
            caller.user_id,
            roadmap_id,
            seq
        )
        .fetch_optional(db.pool())
        .await?;
        if is_coming != Some(true) || Instant::now() >= deadline {
            return Ok(());
        }
        sleep(PAUSE).await;
    }
}

/// The caller's progress over the distinct required lessons of all roadmaps that they started, in whole percent; none =
/// nothing started. Counted while the stored number is of older content.
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

/// Something that the caller did.
#[derive(Clone, Debug)]
pub struct Activity {
    /// Id.
    pub id: Uuid,
    /// When.
    pub occurred_at: DateTime<Utc>,
    /// What, as in [`crate::activity::Action::name`].
    pub action: String,
    /// Kind of what it was done to.
    pub target_type: Option<String>,
    /// Its id.
    pub target_id: Option<Uuid>,
    /// Its title at that time.
    pub target_title: Option<String>,
}

/// Up to `limit` of the caller's own activities before `before`, newest first.
pub async fn activities(
    connection: &mut PgConnection,
    caller: &Caller,
    before: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<Activity>> {
    let (occurred_at, id) = before.unzip();
    let rows = sqlx::query_as!(
        Activity,
        // One comparison for every page, so that the index leads to any depth.
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
