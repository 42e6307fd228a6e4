//! How an object came to be what it is.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::log::Key;
use crate::Result;

/// A recorded change of an object.
#[derive(Clone, Debug)]
pub struct Change {
    /// Identifies the activity that recorded it.
    pub id: Uuid,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// The user who made it; `None` for the platform, the command line, or a deleted account.
    pub actor_id: Option<Uuid>,
    /// The user's email address; `None` without a user.
    pub email: Option<String>,
    /// What was done, such as `lesson.updated`.
    pub action: String,
    /// The title of the object at that time.
    pub title: Option<String>,
    /// What differed before; `None` if there was nothing.
    pub before: Option<Value>,
    /// What differed afterwards; `None` if nothing was left.
    pub after: Option<Value>,
}

/// At most `limit` changes of an object, newest first, starting after the one with the time and id of `before`. Whatever
/// learners do with the object is not read: changes have an index of their own.
pub async fn history(
    connection: &mut PgConnection,
    target_type: &str,
    target_id: Uuid,
    before: Option<Key>,
    limit: i64,
) -> Result<Vec<Change>> {
    let (time, id) = before.unzip();
    let changes = sqlx::query_as!(
        Change,
        r#"SELECT a.id, a.occurred_at, a.actor_id, u.email AS "email?", a.action, a.target_title AS title,
               a.metadata -> 'before' AS before, a.metadata -> 'after' AS after
           FROM activity_log a LEFT JOIN users u ON u.id = a.actor_id
           WHERE a.target_id = $2 AND a.target_type = $1 AND a.metadata ?| ARRAY['before', 'after']
             AND (a.occurred_at, a.id)
                 < (coalesce($3, 'infinity'::timestamptz), coalesce($4, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid))
           ORDER BY a.occurred_at DESC, a.id DESC LIMIT $5"#,
        target_type,
        target_id,
        time,
        id,
        limit
    );
    Ok(changes.fetch_all(connection).await?)
}
