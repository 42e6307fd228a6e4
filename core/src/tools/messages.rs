//! The messages of a chat.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::replies::ReplyState;
use super::{Tool, stored_tool};
use crate::Result;
use crate::activity::Noun;
use crate::actor::Caller;
use crate::refusal::{NotFound, OrRefuse, Rejected};

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
    /// The reply that answers this question, or whose answer this is, and how far it is. None for messages older than
    /// replies.
    pub reply: Option<(Uuid, ReplyState)>,
}

struct Row {
    id: Uuid,
    role: String,
    content: String,
    has_copyable_content: bool,
    created_at: DateTime<Utc>,
    reply_id: Option<Uuid>,
    reply_state: Option<ReplyState>,
}

impl From<Row> for Message {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            author: author(&row.role),
            content: row.content,
            has_copyable_content: row.has_copyable_content,
            created_at: row.created_at,
            reply: row.reply_id.zip(row.reply_state),
        }
    }
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
    let chat_id = sqlx::query_scalar!(
        "SELECT id FROM tool_chats WHERE user_id = $1 AND tool_type = $2",
        caller.user_id,
        tool.name()
    );
    match chat_id.fetch_optional(&mut *connection).await? {
        Some(chat_id) => page(connection, chat_id, before, limit).await,
        None => Ok(Vec::new()),
    }
}

/// Messages of a chat, newest first, as [`list`] gives them.
pub async fn page(
    connection: &mut PgConnection,
    chat_id: Uuid,
    before: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<Message>> {
    let (time, id) = before.unzip();
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT m.id, m.role, m.content, coalesce(m.has_copyable_content, false) AS "has_copyable_content!",
               m.created_at AS "created_at!", r.id AS "reply_id?", r.state AS "reply_state?: ReplyState"
           FROM tool_messages m
           LEFT JOIN LATERAL (
               SELECT r.id, r.state FROM ai_replies r WHERE r.answer_id = m.id
               UNION ALL
               SELECT r.id, r.state FROM ai_replies r WHERE r.question_id = m.id
               LIMIT 1
           ) r ON true
           WHERE m.chat_id = $1
             AND (m.created_at, m.id) < (coalesce($2, 'infinity'::timestamptz),
                                         coalesce($3, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid))
           ORDER BY m.created_at DESC, m.id DESC LIMIT $4"#,
        chat_id,
        time,
        id,
        limit
    );
    Ok(rows.fetch_all(connection).await?.into_iter().map(Message::from).collect())
}

/// Messages of a chat, oldest first: at most `limit`, after the one with that `created_at` and id.
pub async fn walk(
    connection: &mut PgConnection,
    chat_id: Uuid,
    after: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<Message>> {
    let (time, id) = after.unzip();
    let rows = sqlx::query_as!(
        Row,
        r#"SELECT m.id, m.role, m.content, coalesce(m.has_copyable_content, false) AS "has_copyable_content!",
               m.created_at AS "created_at!", r.id AS "reply_id?", r.state AS "reply_state?: ReplyState"
           FROM tool_messages m LEFT JOIN ai_replies r ON r.answer_id = m.id
           WHERE m.chat_id = $1
             AND (m.created_at, m.id) > (coalesce($2, '-infinity'::timestamptz),
                                         coalesce($3, '00000000-0000-0000-0000-000000000000'::uuid))
           ORDER BY m.created_at, m.id LIMIT $4"#,
        chat_id,
        time,
        id,
        limit
    );
    Ok(rows.fetch_all(connection).await?.into_iter().map(Message::from).collect())
}

/// The text of a message in one of the caller's chats, and with which tool that is.
pub async fn find(
    connection: &mut PgConnection,
    caller: &Caller,
    id: Uuid,
) -> Result<(Tool, String), Rejected<NotFound>> {
    let row = sqlx::query!(
        "SELECT c.tool_type, m.content FROM tool_messages m JOIN tool_chats c ON c.id = m.chat_id
         WHERE m.id = $1 AND c.user_id = $2",
        id,
        caller.user_id
    );
    let row = row.fetch_optional(connection).await?.or_not_found(Noun::Message)?;
    Ok((stored_tool(&row.tool_type)?, row.content))
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
