//! Replies: `queued → streaming → completed | failed(reason) | cancelled`. The worker writes them in
//! [attempts](super::attempts).

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::ratings::Thumb;
use super::sources::{self, ReplySource};
use super::{Reason, Tool};
use crate::Result;
use crate::actor::Caller;
use crate::db::Tx;
use crate::events::UserEvent;
use crate::noun::Noun;
use crate::refusal::{NotFound, OrRefuse, Rejected};

/// The state of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "reply_state", rename_all = "snake_case")]
pub enum ReplyState {
    /// Waiting for a worker or for the provider.
    Queued,
    /// Being written.
    Streaming,
    /// Finished; the answer is a message of the chat.
    Completed,
    /// Failed for good; the [`Reason`] says why.
    Failed,
    /// Stopped by the learner or by the platform; the [`Reason`] says why.
    Cancelled,
}

/// A reply as its owner sees it.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Identifies the reply.
    pub id: Uuid,
    /// The tool that was asked.
    pub tool: Tool,
    /// The current state.
    pub state: ReplyState,
    /// Code of the [`Reason`] of a failure or cancellation; `None` in all other states.
    pub reason: Option<String>,
    /// The complete answer, or the part of it that the current attempt has written so far.
    pub text: String,
    /// The number of attempts that were started.
    pub attempts: i32,
    /// Whether the answer contains a block that can be copied.
    pub has_copyable_content: bool,
    /// The message with the question; `None` after it was cleared.
    pub question_id: Option<Uuid>,
    /// The message with the answer; `None` until the reply is completed and after the answer was cleared.
    pub answer_id: Option<Uuid>,
    /// What its owner thinks of it; `None` if they have not said.
    pub thumb: Option<Thumb>,
    /// Why they think so; `None` if they have not said.
    pub thumb_reason: Option<String>,
    /// When the question was asked.
    pub created_at: DateTime<Utc>,
    /// When the reply reached its final state; `None` before.
    pub finished_at: Option<DateTime<Utc>>,
    /// What the answer could refer to, the best match first; empty until the reply is completed.
    pub sources: Vec<ReplySource>,
}

/// Finds a reply of the caller.
pub async fn find(connection: &mut PgConnection, caller: &Caller, id: Uuid) -> Result<Reply, Rejected<NotFound>> {
    let row = sqlx::query!(
        r#"SELECT r.id, c.tool_type AS "tool: Tool", r.state AS "state: ReplyState", r.reason, r.question_id, r.answer_id,
               (SELECT count(*) FROM ai_reply_attempts a WHERE a.reply_id = r.id)::integer AS "attempts!",
               t.thumb AS "thumb?: Thumb", t.reason AS "thumb_reason?",
               r.created_at, r.finished_at, coalesce(m.has_copyable_content, false) AS "has_copyable_content!",
               coalesce(m.content, (SELECT string_agg(k.content, '' ORDER BY k.seq) FROM ai_reply_chunks k
                                    WHERE k.reply_id = r.id AND k.attempt = r.attempt AND NOT k.is_thinking), '') AS "text!"
           FROM ai_replies r
           JOIN tool_chats c ON c.id = r.chat_id
           LEFT JOIN tool_messages m ON m.id = r.answer_id
           LEFT JOIN ai_reply_ratings t ON t.reply_id = r.id
           WHERE r.id = $1 AND r.user_id = $2"#,
        id,
        caller.user_id
    );
    let row = row.fetch_optional(&mut *connection).await?.or_not_found(Noun::Reply)?;
    let sources = match row.state {
        ReplyState::Completed => sources::of_reply(connection, caller, id).await?,
        _ => Vec::new(),
    };
    Ok(Reply {
        id: row.id,
        tool: row.tool,
        state: row.state,
        reason: row.reason,
        text: row.text,
        attempts: row.attempts,
        has_copyable_content: row.has_copyable_content,
        question_id: row.question_id,
        answer_id: row.answer_id,
        thumb: row.thumb,
        thumb_reason: row.thumb_reason,
        created_at: row.created_at,
        finished_at: row.finished_at,
        sources,
    })
}

/// Fails an open reply that no worker is writing, whatever attempt it is in. Returns false if the reply is finished or no
/// longer exists.
pub async fn fail_open(tx: &mut Tx, id: Uuid, reason: Reason) -> Result<bool> {
    let failed = sqlx::query!(
        "WITH reply AS (
             UPDATE ai_replies SET state = 'failed', reason = $2, finished_at = now()
             WHERE id = $1 AND state IN ('queued', 'streaming')
             RETURNING id, user_id, chat_id, instruction_id
         ), ended AS (
             UPDATE ai_reply_attempts a SET finished_at = now(), reason = $2,
                 completion_tokens = coalesce(a.completion_tokens,
                     CASE WHEN a.prompt_tokens IS NOT NULL THEN ai_stored_tokens(a.reply_id, a.attempt) END),
                 cost_micros = coalesce(a.cost_micros, ai_cost(i.model, a.prompt_tokens,
                     coalesce(a.completion_tokens, ai_stored_tokens(a.reply_id, a.attempt))))
             FROM reply JOIN ai_system_instructions i ON i.id = reply.instruction_id
             WHERE a.reply_id = reply.id AND a.finished_at IS NULL
         )
         SELECT reply.user_id, c.tool_type FROM reply JOIN tool_chats c ON c.id = reply.chat_id",
        id,
        reason.code()
    );
    let Some(failed) = failed.fetch_optional(&mut **tx).await? else { return Ok(false) };
    tx.notify_readers(id);
    let reason = reason.code().to_owned();
    tx.emit(failed.user_id, UserEvent::ReplyFailed { reply_id: id, tool_type: failed.tool_type, reason });
    Ok(true)
}
