//! Replies: `queued → streaming → completed | failed(reason) | cancelled`.
//!
//! The worker writes a reply in attempts. Each has a number, one higher than the last, that goes with everything it
//! writes: what an older attempt still writes changes nothing.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Tool, has_copyable_content};
use crate::admin::activity::{Action, Event, Target};
use crate::clock::{Clock, new_id};
use crate::db::Tx;
use crate::users::Caller;
use crate::{Error, Result};

/// How far a reply is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "reply_state", rename_all = "snake_case")]
pub enum ReplyState {
    /// Waits for a worker.
    Queued,
    /// Is being written.
    Streaming,
    /// Done; its answer is a message of the chat.
    Completed,
    /// Given up; see the reason.
    Failed,
    /// Stopped by the learner or the platform; see the reason.
    Cancelled,
}

/// A reply as its owner sees it.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Its id.
    pub id: Uuid,
    /// Who answers.
    pub tool: Tool,
    /// How far it is.
    pub state: ReplyState,
    /// Code of the failure or cancellation.
    pub reason: Option<String>,
    /// The answer, or what there is of it in the current attempt.
    pub text: String,
    /// Attempts begun.
    pub attempts: i32,
    /// Whether the answer holds a block to copy.
    pub has_copyable_content: bool,
    /// The question; none when it was cleared.
    pub question_id: Option<Uuid>,
    /// The message with the answer; none while there is none, or when it was cleared.
    pub answer_id: Option<Uuid>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it reached its final state.
    pub finished_at: Option<DateTime<Utc>>,
}

/// A reply of the caller.
pub async fn find(connection: &mut PgConnection, caller: &Caller, id: Uuid) -> Result<Option<Reply>> {
    let row = sqlx::query!(
        r#"SELECT r.id, c.tool_type, r.state AS "state: ReplyState", r.reason, r.attempt, r.question_id, r.answer_id,
               r.created_at, r.finished_at, coalesce(m.has_copyable_content, false) AS "has_copyable_content!",
               coalesce(m.content, (SELECT string_agg(k.content, '' ORDER BY k.seq) FROM ai_reply_chunks k
                                    WHERE k.reply_id = r.id AND k.attempt = r.attempt), '') AS "text!"
           FROM ai_replies r
           JOIN tool_chats c ON c.id = r.chat_id
           LEFT JOIN tool_messages m ON m.id = r.answer_id
           WHERE r.id = $1 AND r.user_id = $2"#,
        id,
        caller.user_id
    );
    let Some(row) = row.fetch_optional(connection).await? else { return Ok(None) };
    Ok(Some(Reply {
        id: row.id,
        tool: stored_tool(&row.tool_type)?,
        state: row.state,
        reason: row.reason,
        text: row.text,
        attempts: row.attempt,
        has_copyable_content: row.has_copyable_content,
        question_id: row.question_id,
        answer_id: row.answer_id,
        created_at: row.created_at,
        finished_at: row.finished_at,
    }))
}

fn stored_tool(name: &str) -> Result<Tool> {
    Tool::from_name(name).ok_or_else(|| Error::message(format!("unknown tool `{name}` in the database")))
}

/// One attempt at writing a reply, with everything that was fixed when the question was asked.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The reply.
    pub reply_id: Uuid,
    /// Number of the attempt, from 1: the fencing token.
    pub number: i32,
    /// Its chat.
    pub chat_id: Uuid,
    /// Who asked.
    pub user_id: Uuid,
    /// Who answers.
    pub tool: Tool,
    /// What was asked.
    pub question: String,
    /// The system instruction.
    pub instruction: String,
    /// The model that the instruction asks for; none = the configured default.
    pub model: Option<String>,
    /// From 0 to 2.
    pub temperature: f32,
    /// Longest answer, in tokens.
    pub max_tokens: i32,
}

/// Begins an attempt; `None` when the reply is finished or gone, so there is nothing to write. An attempt that was under
/// way loses its right to write.
pub async fn begin_attempt(connection: &mut PgConnection, reply_id: Uuid, provider: &str) -> Result<Option<Attempt>> {
    let row = sqlx::query!(
        r#"WITH reply AS (
               UPDATE ai_replies SET state = 'streaming', attempt = attempt + 1, provider = $2,
                   started_at = coalesce(started_at, now())
               WHERE id = $1 AND state IN ('queued', 'streaming')
               RETURNING id, attempt, chat_id, user_id, instruction_id, question
           ), earlier AS (
               UPDATE ai_reply_attempts a SET finished_at = now(), error = 'superseded by a later attempt'
               FROM reply WHERE a.reply_id = reply.id AND a.finished_at IS NULL
           ), begun AS (
               INSERT INTO ai_reply_attempts (reply_id, attempt) SELECT id, attempt FROM reply
           )
           SELECT r.attempt, r.chat_id, r.user_id, r.question, i.tool_type, i.content, i.model, i.temperature,
               i.max_tokens
           FROM reply r JOIN ai_system_instructions i ON i.id = r.instruction_id"#,
        reply_id,
        provider
    );
    let Some(row) = row.fetch_optional(connection).await? else { return Ok(None) };
    Ok(Some(Attempt {
        reply_id,
        number: row.attempt,
        chat_id: row.chat_id,
        user_id: row.user_id,
        tool: stored_tool(&row.tool_type)?,
        question: row.question,
        instruction: row.content,
        model: row.model,
        temperature: row.temperature,
        max_tokens: row.max_tokens,
    }))
}

/// Stores the next piece of an attempt's text; `seq` counts from 1 without a gap. False when the attempt may no longer
/// write: then it should stop.
pub async fn append_chunk(connection: &mut PgConnection, attempt: &Attempt, seq: i32, text: &str) -> Result<bool> {
    let inserted = sqlx::query!(
        "INSERT INTO ai_reply_chunks (reply_id, attempt, seq, content)
         SELECT id, attempt, $3, $4 FROM ai_replies WHERE id = $1 AND attempt = $2 AND state = 'streaming'",
        attempt.reply_id,
        attempt.number,
        seq,
        storable(text)
    )
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// What an attempt used.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// The model that answered.
    pub model: Option<String>,
    /// Tokens of the request.
    pub prompt_tokens: Option<i32>,
    /// Tokens of the answer.
    pub completion_tokens: Option<i32>,
}

/// Completes a reply: stores its answer as a message of the chat. False, with nothing written, when the attempt may no
/// longer write, so a reply gets one answer however many attempts finish.
pub async fn complete(tx: &mut Tx, clock: &Clock, attempt: &Attempt, text: &str, usage: &Usage) -> Result<bool> {
    // The chat first, as when a question is asked: the other way round the two could wait for each other for ever.
    let chat = sqlx::query!("UPDATE tool_chats SET updated_at = now() WHERE id = $1", attempt.chat_id);
    if chat.execute(&mut **tx).await?.rows_affected() == 0 {
        return Ok(false);
    }
    let text = storable(text);
    let completed = sqlx::query!(
        "WITH reply AS (
             UPDATE ai_replies SET state = 'completed', answer_id = $3, model = $6, finished_at = now()
             WHERE id = $1 AND attempt = $2 AND state = 'streaming'
             RETURNING id, attempt, chat_id, answer_id
         ), finished AS (
             UPDATE ai_reply_attempts a SET finished_at = now(), prompt_tokens = $7, completion_tokens = $8
             FROM reply WHERE a.reply_id = reply.id AND a.attempt = reply.attempt
         )
         INSERT INTO tool_messages (id, chat_id, role, content, has_copyable_content, created_at)
         SELECT r.answer_id, r.chat_id, 'assistant', $4, $5, greatest(clock_timestamp(),
             (SELECT max(m.created_at) FROM tool_messages m WHERE m.chat_id = r.chat_id) + interval '1 microsecond')
         FROM reply r",
        attempt.reply_id,
        attempt.number,
        new_id(),
        text,
        has_copyable_content(&text),
        usage.model,
        usage.prompt_tokens,
        usage.completion_tokens
    );
    if completed.execute(&mut **tx).await?.rows_affected() == 0 {
        return Ok(false);
    }
    let target = Target::new("tool_chat", attempt.chat_id, attempt.tool.title());
    Event::of(Some(attempt.user_id), clock, Action::ReplyReceived, Some(target))
        .with(serde_json::json!({ "tool_type": attempt.tool.name(), "reply_id": attempt.reply_id }))
        .record(tx)?;
    Ok(true)
}

/// Gives a reply up, as the current attempt. `reason` is a code for clients, at most 100 characters. False when the
/// attempt may no longer write.
pub async fn fail(connection: &mut PgConnection, attempt: &Attempt, reason: &str) -> Result<bool> {
    give_up(connection, attempt.reply_id, Some(attempt.number), reason).await
}

/// Gives up a reply whose job died, whatever attempt it is in. False when it is finished or gone.
pub async fn fail_exhausted(connection: &mut PgConnection, reply_id: Uuid, reason: &str) -> Result<bool> {
    give_up(connection, reply_id, None, reason).await
}

async fn give_up(connection: &mut PgConnection, reply_id: Uuid, attempt: Option<i32>, reason: &str) -> Result<bool> {
    let failed = sqlx::query_scalar!(
        r#"WITH reply AS (
               UPDATE ai_replies SET state = 'failed', reason = left($3, 100), finished_at = now()
               WHERE id = $1 AND state IN ('queued', 'streaming') AND attempt = coalesce($2, attempt)
               RETURNING id
           ), ended AS (
               UPDATE ai_reply_attempts a SET finished_at = now(), error = left($3, 2000)
               FROM reply WHERE a.reply_id = reply.id AND a.finished_at IS NULL
           )
           SELECT count(*) AS "failed!" FROM reply"#,
        reply_id,
        attempt,
        reason
    );
    Ok(failed.fetch_one(connection).await? == 1)
}

/// Text as Postgres can store it: a model may send anything, NUL characters included.
fn storable(text: &str) -> String {
    text.replace('\0', "")
}
