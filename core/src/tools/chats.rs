//! The chats of all learners, for admins.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Tool, stored_tool};
use crate::Result;
use crate::activity::Noun;
use crate::refusal::{NotFound, OrRefuse, Rejected};

/// A learner's chat with a tool.
#[derive(Clone, Debug)]
pub struct Chat {
    /// Its id.
    pub id: Uuid,
    /// The tool.
    pub tool: Tool,
    /// The learner.
    pub user_id: Uuid,
    /// Their address.
    pub email: String,
    /// Their first name.
    pub first_name: String,
    /// Their last name, if they gave one.
    pub last_name: Option<String>,
    /// Messages in it.
    pub messages: i64,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When something was last asked, answered or cancelled in it.
    pub updated_at: DateTime<Utc>,
}

struct Row {
    id: Uuid,
    tool_type: String,
    user_id: Uuid,
    email: String,
    first_name: String,
    last_name: Option<String>,
    messages: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl TryFrom<Row> for Chat {
    type Error = crate::Error;

    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: row.id,
            tool: stored_tool(&row.tool_type)?,
            user_id: row.user_id,
            email: row.email,
            first_name: row.first_name,
            last_name: row.last_name,
            messages: row.messages,
            created_at: row.created_at,
            updated_at: row.updated_at,
        })
    }
}

/// Which chats.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    /// Those with this tool; none = with any.
    pub tool: Option<Tool>,
    /// Those of this learner; none = of anybody.
    pub user_id: Option<Uuid>,
}

/// Chats, the last used first: at most `limit`, before the one with that `updated_at` and id.
pub async fn list(
    connection: &mut PgConnection,
    filter: Filter,
    before: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<Chat>> {
    let (time, id) = before.unzip();
    // A branch for each index; the filter decides which one is run.
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT c.id AS "id!", c.tool_type AS "tool_type!", u.id AS user_id, u.email, u.first_name, u.last_name,
               (SELECT count(*) FROM tool_messages m WHERE m.chat_id = c.id) AS "messages!",
               coalesce(c.created_at, c.updated_at) AS "created_at!", c.updated_at AS "updated_at!"
           FROM (
               (SELECT * FROM tool_chats
                WHERE $1::uuid IS NOT NULL AND user_id = $1 AND tool_type = coalesce($2, tool_type)
                  AND (updated_at, id) < (coalesce($3, 'infinity'::timestamptz),
                                          coalesce($4, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)))
               UNION ALL
               (SELECT * FROM tool_chats
                WHERE $1::uuid IS NULL AND $2::text IS NOT NULL AND tool_type = $2
                  AND (updated_at, id) < (coalesce($3, 'infinity'::timestamptz),
                                          coalesce($4, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid))
                ORDER BY updated_at DESC, id DESC LIMIT $5)
               UNION ALL
               (SELECT * FROM tool_chats
                WHERE $1::uuid IS NULL AND $2::text IS NULL
                  AND (updated_at, id) < (coalesce($3, 'infinity'::timestamptz),
                                          coalesce($4, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid))
                ORDER BY updated_at DESC, id DESC LIMIT $5)
           ) c
           JOIN users u ON u.id = c.user_id
           ORDER BY c.updated_at DESC, c.id DESC LIMIT $5"#,
        filter.user_id,
        filter.tool.map(Tool::name),
        time,
        id,
        limit
    );
    rows.fetch_all(connection).await?.into_iter().map(Chat::try_from).collect()
}

/// Chats in the order of their ids, which nothing changes: at most `limit`, after the one with that id. For going through
/// all of them.
pub async fn walk(connection: &mut PgConnection, filter: Filter, after: Option<Uuid>, limit: i64) -> Result<Vec<Chat>> {
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT c.id AS "id!", c.tool_type AS "tool_type!", u.id AS user_id, u.email, u.first_name, u.last_name,
               (SELECT count(*) FROM tool_messages m WHERE m.chat_id = c.id) AS "messages!",
               coalesce(c.created_at, c.updated_at) AS "created_at!", c.updated_at AS "updated_at!"
           FROM (
               (SELECT * FROM tool_chats WHERE $1::uuid IS NOT NULL AND user_id = $1)
               UNION ALL
               (SELECT * FROM tool_chats
                WHERE $1::uuid IS NULL AND id > coalesce($3, '00000000-0000-0000-0000-000000000000'::uuid)
                  AND tool_type = coalesce($2, tool_type)
                ORDER BY id LIMIT $4)
           ) c
           JOIN users u ON u.id = c.user_id
           WHERE c.tool_type = coalesce($2, c.tool_type)
             AND c.id > coalesce($3, '00000000-0000-0000-0000-000000000000'::uuid)
           ORDER BY c.id LIMIT $4"#,
        filter.user_id,
        filter.tool.map(Tool::name),
        after,
        limit
    );
    rows.fetch_all(connection).await?.into_iter().map(Chat::try_from).collect()
}

/// One chat.
pub async fn find(connection: &mut PgConnection, id: Uuid) -> Result<Chat, Rejected<NotFound>> {
    let row = sqlx::query_as!(
        Row,
        r#"SELECT c.id, c.tool_type, u.id AS user_id, u.email, u.first_name, u.last_name,
               (SELECT count(*) FROM tool_messages m WHERE m.chat_id = c.id) AS "messages!",
               coalesce(c.created_at, c.updated_at) AS "created_at!", c.updated_at AS "updated_at!"
           FROM tool_chats c JOIN users u ON u.id = c.user_id WHERE c.id = $1"#,
        id
    );
    Ok(row.fetch_optional(connection).await?.or_not_found(Noun::Chat)?.try_into()?)
}
