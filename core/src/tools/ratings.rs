//! What learners think of replies.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Tool;
use crate::Result;
use crate::activity::{Action, Target, Verb};
use crate::db::UserTx;
use crate::noun::Noun;
use crate::refusal::{NotFound, OrRefuse, Rejected};

/// What a learner thinks of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, sqlx::Type)]
#[strum(serialize_all = "snake_case")]
#[sqlx(type_name = "reply_thumb", rename_all = "snake_case")]
pub enum Thumb {
    /// It helped.
    Up,
    /// It did not.
    Down,
}

/// Why something cannot be done with a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerRefusal {
    /// The caller has no such reply.
    NotFound(NotFound),
    /// The reply is not completed, or its answer was cleared.
    NotAnswered,
}

impl From<NotFound> for AnswerRefusal {
    fn from(not_found: NotFound) -> Self {
        Self::NotFound(not_found)
    }
}

/// A reply of the caller that has an answer. Its chat is locked, so it keeps the answer until the transaction ends.
pub(super) struct Answered {
    pub(super) chat_id: Uuid,
    pub(super) tool: Tool,
}

/// Finds a reply of the caller that is completed, and locks its chat, as everywhere before the reply.
pub(super) async fn lock_answered(tx: &mut UserTx, reply_id: Uuid) -> Result<Answered, Rejected<AnswerRefusal>> {
    let user_id = tx.caller().user_id;
    let chat = sqlx::query!(
        r#"SELECT c.id, c.tool_type AS "tool: Tool" FROM tool_chats c
           WHERE c.id = (SELECT chat_id FROM ai_replies WHERE id = $1 AND user_id = $2) FOR NO KEY UPDATE"#,
        reply_id,
        user_id
    );
    let chat = chat.fetch_optional(&mut ***tx).await?.or_not_found(Noun::Reply)?;
    let is_answered = sqlx::query_scalar!(
        r#"SELECT state = 'completed' AND answer_id IS NOT NULL AS "is_answered!" FROM ai_replies WHERE id = $1"#,
        reply_id
    );
    if !is_answered.fetch_optional(&mut ***tx).await?.or_not_found(Noun::Reply)? {
        return Err(Rejected::Refused(AnswerRefusal::NotAnswered));
    }
    Ok(Answered { chat_id: chat.id, tool: chat.tool })
}

/// Rates a reply of the caller. Rating it again replaces the rating, and the same rating changes nothing.
pub async fn rate(
    tx: &mut UserTx,
    reply_id: Uuid,
    thumb: Thumb,
    reason: Option<&str>,
) -> Result<(), Rejected<AnswerRefusal>> {
    let answered = lock_answered(tx, reply_id).await?;
    let changed = sqlx::query!(
        "INSERT INTO ai_reply_ratings AS r (reply_id, thumb, reason) VALUES ($1, $2, $3)
         ON CONFLICT (reply_id) DO UPDATE SET thumb = excluded.thumb, reason = excluded.reason
         WHERE (r.thumb, r.reason) IS DISTINCT FROM (excluded.thumb, excluded.reason)",
        reply_id,
        thumb as Thumb,
        reason
    );
    if changed.execute(&mut ***tx).await?.rows_affected() > 0 {
        let target = Target::new(Noun::ToolChat, answered.chat_id, answered.tool.title());
        let thumb: &str = thumb.into();
        let details = serde_json::json!({ "tool_type": answered.tool.name(), "reply_id": reply_id, "thumb": thumb });
        tx.record(Action::new(Noun::Reply, Verb::Rated).target(Some(target)).with(details))?;
    }
    Ok(())
}

/// Removes the rating of a reply of the caller. Without one, nothing changes.
pub async fn unrate(tx: &mut UserTx, reply_id: Uuid) -> Result<(), Rejected<NotFound>> {
    let reply = sqlx::query!(
        r#"SELECT c.id AS chat_id, c.tool_type AS "tool: Tool" FROM ai_replies r JOIN tool_chats c ON c.id = r.chat_id
           WHERE r.id = $1 AND r.user_id = $2"#,
        reply_id,
        tx.caller().user_id
    );
    let reply = reply.fetch_optional(&mut ***tx).await?.or_not_found(Noun::Reply)?;
    let removed = sqlx::query!("DELETE FROM ai_reply_ratings WHERE reply_id = $1", reply_id);
    if removed.execute(&mut ***tx).await?.rows_affected() > 0 {
        let target = Target::new(Noun::ToolChat, reply.chat_id, reply.tool.title());
        let details = serde_json::json!({ "tool_type": reply.tool.name(), "reply_id": reply_id });
        tx.record(Action::new(Noun::Reply, Verb::Unrated).target(Some(target)).with(details))?;
    }
    Ok(())
}

/// Removes what the learner wrote about the replies of a chat. The thumbs stay, for the figures.
pub(super) async fn forget_reasons(connection: &mut PgConnection, chat_id: Uuid) -> Result<()> {
    sqlx::query!(
        "UPDATE ai_reply_ratings t SET reason = NULL FROM ai_replies r
         WHERE r.chat_id = $1 AND t.reply_id = r.id AND t.reason IS NOT NULL",
        chat_id
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What a learner wrote about a reply. It does not say who.
#[derive(Clone, Debug, PartialEq)]
pub struct RatingReason {
    /// The reply.
    pub reply_id: Uuid,
    /// The tool that answered.
    pub tool_type: Tool,
    /// The version of the tool's instruction under which it answered.
    pub instruction_version: i32,
    /// Whether the reply helped.
    pub thumb: Thumb,
    /// What the learner wrote.
    pub reason: String,
    /// When the reply was last rated.
    pub rated_at: DateTime<Utc>,
}

/// At most `limit` ratings with a reason, the newest first, starting after the time and the reply of `after`.
pub async fn reasons(
    connection: &mut PgConnection,
    tool: Option<Tool>,
    thumb: Option<Thumb>,
    after: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<RatingReason>> {
    let (at, reply_id) = after.unzip();
    let reasons = sqlx::query_as!(
        RatingReason,
        r#"SELECT t.reply_id, i.tool_type AS "tool_type: Tool", i.version AS instruction_version, t.thumb AS "thumb: Thumb",
               t.reason AS "reason!", t.updated_at AS rated_at
           FROM ai_reply_ratings t
           JOIN ai_replies r ON r.id = t.reply_id
           JOIN users u ON u.id = r.user_id AND u.erased_at IS NULL
           JOIN ai_system_instructions i ON i.id = r.instruction_id
           WHERE t.reason IS NOT NULL AND i.tool_type = coalesce($1, i.tool_type) AND t.thumb = coalesce($2, t.thumb)
             AND (t.updated_at, t.reply_id) < (coalesce($3::timestamptz, 'infinity'), coalesce($4, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid))
           ORDER BY t.updated_at DESC, t.reply_id DESC LIMIT $5"#,
        tool.map(Tool::name),
        thumb as Option<Thumb>,
        at,
        reply_id,
        limit
    );
    Ok(reasons.fetch_all(connection).await?)
}
