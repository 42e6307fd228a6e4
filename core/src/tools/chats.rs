//! The chats of all learners, as admins see them.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Tool;
use crate::Result;
use crate::activity::Noun;
use crate::refusal::{NotFound, OrRefuse, Rejected};

/// A learner's chat with a tool. A learner has at most one with each.
#[derive(Clone, Debug)]
pub struct Chat {
    /// Identifies the chat.
    pub id: Uuid,
    /// The tool that answers in it.
    pub tool: Tool,
    /// The learner who asks in it.
    pub user_id: Uuid,
    /// The learner's email address.
    pub email: String,
    /// The learner's first name.
    pub first_name: String,
    /// The learner's last name; `None` if they gave none.
    pub last_name: Option<String>,
    /// The number of messages, questions and answers together.
    pub messages: i64,
    /// When the first question was asked.
    pub created_at: DateTime<Utc>,
    /// When something was last asked, answered or cancelled.
    pub updated_at: DateTime<Utc>,
}

/// Selects chats from `$from`, which provides the rows `c` of `tool_chats`.
macro_rules! select_chats {
    ($from:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Chat,
            r#"SELECT c.id AS "id!", c.tool_type AS "tool!: Tool", u.id AS user_id, u.email, u.first_name, u.last_name,
                   (SELECT count(*) FROM tool_messages m WHERE m.chat_id = c.id) AS "messages!",
                   coalesce(c.created_at, c.updated_at) AS "created_at!", c.updated_at AS "updated_at!"
               FROM "# + $from,
            $($argument),*
        )
    };
}

/// Which chats to list. Conditions are combined; an empty filter selects all chats.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter {
    /// Only chats with this tool; `None` for any tool.
    pub tool: Option<Tool>,
    /// Only chats of this learner; `None` for any learner.
    pub user_id: Option<Uuid>,
}

/// At most `limit` chats, most recently used first, starting after the chat with the `updated_at` and id of `before`.
pub async fn list(
    connection: &mut PgConnection,
    filter: Filter,
    before: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<Chat>> {
    let (time, id) = before.unzip();
    // One branch for each index. The filter decides which of them returns rows.
    let chats = select_chats!(
        "(
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
           ORDER BY c.updated_at DESC, c.id DESC LIMIT $5",
        filter.user_id,
        filter.tool.map(Tool::name),
        time,
        id,
        limit
    );
    Ok(chats.fetch_all(connection).await?)
}

/// At most `limit` chats in the order of their ids, starting after the id `after`. That order never changes, so a caller
/// that reads page after page sees every chat exactly once.
pub async fn list_by_id(
    connection: &mut PgConnection,
    filter: Filter,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Chat>> {
    let chats = select_chats!(
        "(
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
           ORDER BY c.id LIMIT $4",
        filter.user_id,
        filter.tool.map(Tool::name),
        after,
        limit
    );
    Ok(chats.fetch_all(connection).await?)
}

/// The chat with that id.
pub async fn find(connection: &mut PgConnection, id: Uuid) -> Result<Chat, Rejected<NotFound>> {
    let chat = select_chats!("tool_chats c JOIN users u ON u.id = c.user_id WHERE c.id = $1", id);
    chat.fetch_optional(connection).await?.or_not_found(Noun::Chat)
}
