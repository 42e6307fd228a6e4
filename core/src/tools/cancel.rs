//! Stopping replies: a reply that is no longer wanted, and the open reply of a chat that is cleared.
//!
//! The worker is not notified. It notices within a second that it may no longer write.

use sqlx::PgConnection;
use uuid::Uuid;

use super::replies::ReplyState;
use super::{Reason, Tool, has_copyable_content, mentor_questions, ratings, stored_tool, unanswered};
use crate::Result;
use crate::activity::{Action, Target, Verb};
use crate::clock::new_id;
use crate::db::UserTx;
use crate::events::UserEvent;
use crate::noun::Noun;
use crate::refusal::{NotFound, OrRefuse, Rejected};

/// Why a reply is not cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelRefusal {
    /// The caller has no such reply.
    NotFound(NotFound),
    /// The reply has already been completed or has failed.
    Finished,
}

impl From<NotFound> for CancelRefusal {
    fn from(not_found: NotFound) -> Self {
        Self::NotFound(not_found)
    }
}

/// Stops a reply of the caller. The incomplete answer becomes a message of the chat. Repeating the call changes nothing.
pub async fn cancel(tx: &mut UserTx, reply_id: Uuid) -> Result<(), Rejected<CancelRefusal>> {
    let reply = sqlx::query!(
        "SELECT r.chat_id, c.tool_type FROM ai_replies r JOIN tool_chats c ON c.id = r.chat_id
         WHERE r.id = $1 AND r.user_id = $2",
        reply_id,
        tx.caller().user_id
    );
    let reply = reply.fetch_optional(&mut ***tx).await?.or_not_found(Noun::Reply)?;
    let tool = stored_tool(&reply.tool_type)?;
    // The chat is locked before the reply, as everywhere.
    sqlx::query!("UPDATE tool_chats SET updated_at = now() WHERE id = $1", reply.chat_id).execute(&mut ***tx).await?;
    if stop(tx, tool, reply.chat_id, Some(reply_id), Reason::Cancelled).await?.is_none() {
        let state =
            sqlx::query_scalar!(r#"SELECT state AS "state: ReplyState" FROM ai_replies WHERE id = $1"#, reply_id);
        return match state.fetch_optional(&mut ***tx).await?.or_not_found(Noun::Reply)? {
            ReplyState::Cancelled => Ok(()),
            _ => Err(Rejected::Refused(CancelRefusal::Finished)),
        };
    }
    keep_partial(tx, reply.chat_id, reply_id).await?;
    let target = Target::new(Noun::ToolChat, reply.chat_id, tool.title());
    let details = serde_json::json!({ "tool_type": tool.name(), "reply_id": reply_id });
    tx.record(Action::new(Noun::Reply, Verb::Cancelled).target(Some(target)).with(details))?;
    Ok(())
}

/// Removes the messages of the caller's chat with a tool, and everything else that contains their text, and stops its open
/// reply. An empty chat is not changed.
pub async fn clear(tx: &mut UserTx, tool: Tool) -> Result<()> {
    let chat_id = sqlx::query_scalar!(
        "SELECT id FROM tool_chats WHERE user_id = $1 AND tool_type = $2 FOR NO KEY UPDATE",
        tx.caller().user_id,
        tool.name()
    );
    let Some(chat_id) = chat_id.fetch_optional(&mut ***tx).await? else { return Ok(()) };
    let stopped = stop(tx, tool, chat_id, None, Reason::Cleared).await?;
    // The replies are kept, because they count as questions.
    sqlx::query!(
        "DELETE FROM ai_reply_chunks k USING ai_replies r WHERE r.chat_id = $1 AND k.reply_id = r.id",
        chat_id
    )
    .execute(&mut ***tx)
    .await?;
    sqlx::query!("UPDATE ai_replies SET question = '', context = '{}' WHERE chat_id = $1 AND question <> ''", chat_id)
        .execute(&mut ***tx)
        .await?;
    forget_answers(tx, chat_id).await?;
    mentor_questions::withdraw_all(tx, chat_id).await?;
    ratings::forget_reasons(tx, chat_id).await?;
    unanswered::forget(tx, chat_id).await?;
    let removed = sqlx::query!("DELETE FROM tool_messages WHERE chat_id = $1", chat_id).execute(&mut ***tx).await?;
    if stopped.is_some() || removed.rows_affected() > 0 {
        let target = Target::new(Noun::ToolChat, chat_id, tool.title());
        let details = serde_json::json!({ "tool_type": tool.name(), "messages": removed.rows_affected() });
        tx.record(Action::new(Noun::Chat, Verb::Cleared).target(Some(target)).with(details))?;
    }
    Ok(())
}

/// Removes the texts of a chat's questions from the answers that are kept for repeated requests. The idempotency keys stay, so
/// that a request that arrives again after the chat was cleared does not ask again.
async fn forget_answers(connection: &mut PgConnection, chat_id: Uuid) -> Result<()> {
    sqlx::query!(
        r#"UPDATE idempotency_keys k SET response = jsonb_set(k.response, '{message,content}', '""')
           FROM ai_replies r
           WHERE r.chat_id = $1 AND k.user_id = r.user_id AND k.response ->> 'reply_id' = r.id::text"#,
        chat_id
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Stops the open reply of a chat that the transaction has locked, or only the reply `only`. Returns its id. What its attempt
/// used is estimated until its worker says it, because the worker may be lost.
async fn stop(tx: &mut UserTx, tool: Tool, chat_id: Uuid, only: Option<Uuid>, reason: Reason) -> Result<Option<Uuid>> {
    let stopped = sqlx::query_scalar!(
        "WITH reply AS (
             UPDATE ai_replies SET state = 'cancelled', reason = $3, finished_at = now()
             WHERE chat_id = $1 AND id = coalesce($2, id) AND state IN ('queued', 'streaming')
             RETURNING id, instruction_id
         ), ended AS (
             UPDATE ai_reply_attempts a SET finished_at = now(), reason = $3,
                 completion_tokens = coalesce(a.completion_tokens,
                     CASE WHEN a.prompt_tokens IS NOT NULL THEN ai_stored_tokens(a.reply_id, a.attempt) END),
                 cost_micros = coalesce(a.cost_micros, ai_cost(i.model, a.prompt_tokens,
                     coalesce(a.completion_tokens, ai_stored_tokens(a.reply_id, a.attempt))))
             FROM reply JOIN ai_system_instructions i ON i.id = reply.instruction_id
             WHERE a.reply_id = reply.id AND a.finished_at IS NULL
         )
         SELECT id FROM reply",
        chat_id,
        only,
        reason.code()
    );
    let stopped = stopped.fetch_optional(&mut ***tx).await?;
    if let Some(reply_id) = stopped {
        tx.notify_readers(reply_id);
        let (user_id, tool_type) = (tx.caller().user_id, tool.name().to_owned());
        tx.emit(user_id, UserEvent::ReplyCancelled { reply_id, tool_type, reason: reason.code().to_owned() });
    }
    Ok(stopped)
}

/// Stores the incomplete answer of a stopped reply as a message. Reads it in a separate statement, because the one that stopped
/// the reply may have waited for the last chunk, which it would not see.
async fn keep_partial(connection: &mut PgConnection, chat_id: Uuid, reply_id: Uuid) -> Result<()> {
    let text = sqlx::query_scalar!(
        "SELECT string_agg(k.content, '' ORDER BY k.seq)
         FROM ai_replies r JOIN ai_reply_chunks k ON k.reply_id = r.id AND k.attempt = r.attempt
         WHERE r.id = $1 AND NOT k.is_thinking",
        reply_id
    );
    let Some(text) = text.fetch_one(&mut *connection).await? else { return Ok(()) };
    sqlx::query!(
        "WITH message AS (
             INSERT INTO tool_messages (id, chat_id, role, content, has_copyable_content, created_at)
             VALUES ($3, $2, 'assistant', $4, $5, greatest(clock_timestamp(),
                 (SELECT max(created_at) FROM tool_messages WHERE chat_id = $2) + interval '1 microsecond'))
             RETURNING id
         )
         UPDATE ai_replies SET answer_id = message.id FROM message WHERE ai_replies.id = $1",
        reply_id,
        chat_id,
        new_id(),
        text,
        has_copyable_content(&text)
    )
    .execute(connection)
    .await?;
    Ok(())
}
