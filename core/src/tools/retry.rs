//! Asking for a reply again.

use sqlx::types::Json;
use uuid::Uuid;

use super::questions::{self, Refusal};
use super::replies::ReplyState;
use super::stored_tool;
use crate::Result;
use crate::admin::activity::{Action, Event, Target};
use crate::admin::settings::Settings;
use crate::clock::Clock;
use crate::db::Tx;
use crate::jobs::{GenerateReply, Job};
use crate::users::Caller;

/// What came of asking again. Only [`Retried::Accepted`] has written anything that is to be committed.
#[derive(Clone, Debug)]
pub enum Retried {
    /// The reply is queued.
    Accepted,
    /// It is neither failed nor cancelled, its question was cleared, or it was retried too often.
    NotRetryable,
    /// The caller has no such reply.
    NotFound,
    /// As a question would be.
    Refused(Refusal),
}

/// Asks for a reply once more, as if its question were asked now: it counts as a question, and the instruction that is
/// active now is what the answer is written under. What there was of the answer goes.
pub async fn retry(
    tx: &mut Tx,
    clock: &Clock,
    caller: &Caller,
    settings: &Settings,
    reply_id: Uuid,
) -> Result<Retried> {
    let reply = sqlx::query!(
        r#"SELECT r.state AS "state: ReplyState", r.question, r.question_id, c.tool_type
           FROM ai_replies r JOIN tool_chats c ON c.id = r.chat_id WHERE r.id = $1 AND r.user_id = $2"#,
        reply_id,
        caller.user_id
    );
    let Some(reply) = reply.fetch_optional(&mut **tx).await? else { return Ok(Retried::NotFound) };
    if !matches!(reply.state, ReplyState::Failed | ReplyState::Cancelled) || reply.question_id.is_none() {
        return Ok(Retried::NotRetryable);
    }
    let tool = stored_tool(&reply.tool_type)?;
    let room = match questions::make_room(tx, caller, settings, tool, &reply.question).await? {
        Ok(room) => room,
        Err(refusal) => return Ok(Retried::Refused(refusal)),
    };
    sqlx::query!("DELETE FROM tool_messages m USING ai_replies r WHERE r.id = $1 AND m.id = r.answer_id", reply_id)
        .execute(&mut **tx)
        .await?;
    // The next attempt's number is taken at once: readers drop what they have.
    let retry = sqlx::query_scalar!(
        r#"UPDATE ai_replies
           SET state = 'queued', attempt = attempt + 1, reason = NULL, started_at = NULL, finished_at = NULL,
               instruction_id = $2, context = $3, queued_at = now(), retried_at = retried_at || now(),
               chunks_removed = false
           WHERE id = $1 AND state IN ('failed', 'cancelled') AND question_id IS NOT NULL
             AND cardinality(retried_at) < 20
           RETURNING cardinality(retried_at) AS "retry!""#,
        reply_id,
        room.instruction_id,
        Json(&room.context) as _
    );
    let Some(retry) = retry.fetch_optional(&mut **tx).await? else { return Ok(Retried::NotRetryable) };
    GenerateReply { reply_id, retry }.enqueue(tx)?;
    tx.announce(reply_id);
    Event::by(caller, clock, Action::ReplyRetried, Some(Target::new("tool_chat", room.chat_id, tool.title())))
        .with(serde_json::json!({ "tool_type": tool.name(), "reply_id": reply_id }))
        .record(tx)?;
    Ok(Retried::Accepted)
}
