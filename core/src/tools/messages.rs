//! The messages of a chat.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Tool;
use super::replies::ReplyState;
use crate::Result;
use crate::actor::Caller;
use crate::noun::Noun;
use crate::refusal::{NotFound, OrRefuse, Rejected};

/// Who wrote a message. Stored in the column `role`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "varchar", rename_all = "snake_case")]
pub enum Author {
    /// The learner.
    User,
    /// The tool.
    Assistant,
    /// A mentor, who was asked about a reply. Such messages are stored with the role of the tool.
    Mentor,
}

/// A message of a chat: a question, an answer, or what a mentor wrote about one.
#[derive(Clone, Debug)]
pub struct Message {
    /// Identifies the message.
    pub id: Uuid,
    /// The chat that it belongs to.
    pub chat_id: Uuid,
    /// Who wrote it.
    pub author: Author,
    /// Plain text or Markdown, as it was written.
    pub content: String,
    /// Whether the text contains a block that can be copied; see [`super::has_copyable_content`].
    pub has_copyable_content: bool,
    /// When the message was stored. Strictly increasing within a chat.
    pub created_at: DateTime<Utc>,
    /// The reply that answers this question, that this answer belongs to, or that the mentor was asked about; `None` for messages that are older than the
    /// introduction of replies.
    pub reply_id: Option<Uuid>,
    /// The state of that reply.
    pub reply_state: Option<ReplyState>,
}

/// Selects messages from `$from`, which provides the rows `m` of `tool_messages` and `r` of `ai_replies`.
macro_rules! select_messages {
    ($from:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Message,
            r#"SELECT m.id AS "id!", m.chat_id AS "chat_id!",
                   CASE WHEN EXISTS (SELECT FROM mentor_questions q WHERE q.message_id = m.id) THEN 'mentor' ELSE m.role END
                       AS "author!: Author",
                   m.content AS "content!",
                   coalesce(m.has_copyable_content, false) AS "has_copyable_content!", m.created_at AS "created_at!",
                   r.id AS "reply_id?", r.state AS "reply_state?: ReplyState"
               FROM "# + $from,
            $($argument),*
        )
    };
}

/// At most `limit` messages of the caller's chat with a tool, newest first, starting after the message with the
/// `created_at` and id of `before`. Empty if the caller has not asked the tool anything yet.
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

/// The messages of the chat with that id, in pages like those of [`list`].
pub async fn page(
    connection: &mut PgConnection,
    chat_id: Uuid,
    before: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<Message>> {
    let (time, id) = before.unzip();
    let messages = select_messages!(
        "tool_messages m
           LEFT JOIN LATERAL (
               SELECT r.id, r.state FROM ai_replies r WHERE r.answer_id = m.id
               UNION ALL
               SELECT r.id, r.state FROM ai_replies r WHERE r.question_id = m.id
               UNION ALL
               SELECT r.id, r.state FROM mentor_questions q JOIN ai_replies r ON r.id = q.reply_id WHERE q.message_id = m.id
               LIMIT 1
           ) r ON true
           WHERE m.chat_id = $1
             AND (m.created_at, m.id) < (coalesce($2, 'infinity'::timestamptz),
                                         coalesce($3, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid))
           ORDER BY m.created_at DESC, m.id DESC LIMIT $4",
        chat_id,
        time,
        id,
        limit
    );
    Ok(messages.fetch_all(connection).await?)
}

/// At most `limit` messages of these chats, in the order of the chats and oldest first, starting after the message of the first
/// chat with the `created_at` and id of `after`.
pub async fn list_oldest_first(
    connection: &mut PgConnection,
    chats: &[Uuid],
    after: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<Message>> {
    let (time, id) = after.unzip();
    let messages = select_messages!(
        "unnest($1::uuid[]) WITH ORDINALITY c (id, place)
           CROSS JOIN LATERAL (
               SELECT * FROM tool_messages m
               WHERE m.chat_id = c.id
                 AND (m.created_at, m.id) > (CASE c.place WHEN 1 THEN coalesce($2::timestamptz, '-infinity') ELSE '-infinity' END,
                                             coalesce($3, '00000000-0000-0000-0000-000000000000'::uuid))
               ORDER BY m.created_at, m.id LIMIT $4
           ) m
           LEFT JOIN ai_replies r ON r.answer_id = m.id
           ORDER BY c.place, m.created_at, m.id LIMIT $4",
        chats,
        time,
        id,
        limit
    );
    Ok(messages.fetch_all(connection).await?)
}

/// The text of a message in one of the caller's chats, and the tool of that chat.
pub async fn find(
    connection: &mut PgConnection,
    caller: &Caller,
    id: Uuid,
) -> Result<(Tool, String), Rejected<NotFound>> {
    let row = sqlx::query!(
        r#"SELECT c.tool_type AS "tool: Tool", m.content
           FROM tool_messages m JOIN tool_chats c ON c.id = m.chat_id
           WHERE m.id = $1 AND c.user_id = $2"#,
        id,
        caller.user_id
    );
    let row = row.fetch_optional(connection).await?.or_not_found(Noun::Message)?;
    Ok((row.tool, row.content))
}

/// The greatest number of earlier messages that a model is given.
const MAX_HISTORY: i64 = 40;

/// The messages of a chat before a question, newest first: at most 40 messages and `max_chars` characters in all.
/// Messages are never edited, so every attempt gets the same history, except for messages that were cleared meanwhile.
pub async fn before(connection: &mut PgConnection, question_id: Uuid, max_chars: i64) -> Result<Vec<(Author, String)>> {
    let rows = sqlx::query!(
        r#"SELECT role AS "author!: Author", content AS "content!"
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
    Ok(rows.into_iter().map(|row| (row.author, row.content)).collect())
}
