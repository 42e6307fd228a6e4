//! The messages of a chat.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Tool;
use crate::Result;
use crate::users::Caller;

/// Who wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Author {
    /// The learner.
    User,
    /// The tool.
    Assistant,
}

/// One message of a chat.
#[derive(Clone, Debug)]
pub struct Message {
    /// Its id.
    pub id: Uuid,
    /// Who wrote it.
    pub author: Author,
    /// Its text.
    pub content: String,
    /// Whether the text holds a block to copy; see [`super::has_copyable_content`].
    pub has_copyable_content: bool,
    /// When it was stored; strictly increasing inside a chat.
    pub created_at: DateTime<Utc>,
    /// The reply that answers this question, or whose answer this is. None for messages older than replies.
    pub reply_id: Option<Uuid>,
}

/// Messages of the caller's chat with a tool, newest first: at most `limit`, before the one with that `created_at` and
/// id. Empty when there is no chat yet.
pub async fn list(
    connection: &mut PgConnection,
    caller: &Caller,
    tool: Tool,
    before: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<Message>> {
    let (time, id) = before.unzip();
    let rows = sqlx::query!(
        r#"SELECT m.id, m.role, m.content, coalesce(m.has_copyable_content, false) AS "has_copyable_content!",
               m.created_at AS "created_at!",
               coalesce(
                   (SELECT r.id FROM ai_replies r WHERE r.answer_id = m.id),
                   (SELECT r.id FROM ai_replies r WHERE r.question_id = m.id ORDER BY r.created_at DESC LIMIT 1)
               ) AS reply_id
           FROM tool_messages m
           WHERE m.chat_id = (SELECT id FROM tool_chats WHERE user_id = $1 AND tool_type = $2)
             AND (m.created_at, m.id) < (coalesce($3, 'infinity'::timestamptz),
                                         coalesce($4, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid))
           ORDER BY m.created_at DESC, m.id DESC LIMIT $5"#,
        caller.user_id,
        tool.name(),
        time,
        id,
        limit
    )
    .fetch_all(connection)
    .await?;
    let messages = rows.into_iter().map(|row| Message {
        id: row.id,
        author: author(&row.role),
        content: row.content,
        has_copyable_content: row.has_copyable_content,
        created_at: row.created_at,
        reply_id: row.reply_id,
    });
    Ok(messages.collect())
}

/// So many messages are told to a model at most.
const MAX_HISTORY: i64 = 40;

/// What was said in a chat before a question, newest first: at most 40 messages and `max_chars` characters. Messages are
/// never edited, so this is the same for every attempt; what was cleared is told to nobody.
pub async fn before(connection: &mut PgConnection, question_id: Uuid, max_chars: i64) -> Result<Vec<(Author, String)>> {
    let rows = sqlx::query!(
        r#"SELECT role AS "role!", content AS "content!"
           FROM (
               SELECT m.role, m.content, m.created_at, m.id,
                   sum(length(m.content)) OVER (ORDER BY m.created_at DESC, m.id DESC) AS chars
               FROM (
                   SELECT m.* FROM tool_messages m
                   JOIN tool_messages q ON q.id = $1 AND q.chat_id = m.chat_id
                   WHERE (m.created_at, m.id) < (q.created_at, q.id)
                   ORDER BY m.created_at DESC, m.id DESC LIMIT $2
               ) m
           ) newest
           WHERE chars <= $3
           ORDER BY created_at DESC, id DESC"#,
        question_id,
        MAX_HISTORY,
        max_chars
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|row| (author(&row.role), row.content)).collect())
}

fn author(role: &str) -> Author {
    if role == "user" { Author::User } else { Author::Assistant }
}
