//! Attempts at generating a reply.
//!
//! Each attempt has a number, one higher than the last, that fences everything it writes: writes of an older attempt have no
//! effect, and neither have writes after the reply has reached its final state.
//!
//! ```text
//! queued ──begin──► streaming ──complete──► completed
//!    ▲                │  ├───────fail──────► failed
//!    └─────requeue────┘  └ begin: a later attempt, because the worker of this one was lost
//! ```

use std::time::Duration;

use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::{Citations, Context, Reason, Request, has_copyable_content, stored_tool};
use crate::Result;
use crate::activity::{Action, Target, Verb};
use crate::clock::new_id;
use crate::db::Tx;
use crate::events::UserEvent;
use crate::noun::Noun;
use crate::queue::lease::Lease;
use crate::tools::jobs::GenerateReply;

/// One attempt at generating a reply, with everything that was recorded when the question was asked.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The id of the reply.
    pub reply_id: Uuid,
    /// The number of the attempt, from 1, which is the fencing token.
    pub number: i32,
    /// The chat of the reply.
    pub chat_id: Uuid,
    /// The user who asked.
    pub user_id: Uuid,
    /// The message with the question; `None` if it was cleared.
    pub question_id: Option<Uuid>,
    /// What the provider is asked.
    pub request: Request,
    /// The codes of how earlier attempts ended since the reply was last requested.
    pub earlier: Vec<String>,
    /// Whether readers are shown what the model thinks.
    pub show_thinking: bool,
    /// The name under which the provider keeps the answer that the last attempt was waiting for; `None` if there is none.
    pub kept: Option<String>,
}

/// How long ago the reply of a job was requested; `None` if the reply is finished or removed, or was retried since.
pub async fn waiting_for(connection: &mut PgConnection, job: GenerateReply) -> Result<Option<Duration>> {
    let seconds = sqlx::query_scalar!(
        r#"SELECT greatest(0, extract(epoch FROM now() - queued_at))::float8 AS "seconds!"
           FROM ai_replies WHERE id = $1 AND state IN ('queued', 'streaming') AND cardinality(retried_at) = $2"#,
        job.reply_id,
        job.retry
    );
    Ok(seconds.fetch_optional(connection).await?.map(Duration::from_secs_f64))
}

/// The name under which the provider keeps the answer to a reply that was cancelled or has failed; `None` if there is none.
pub async fn left_behind(connection: &mut PgConnection, reply_id: Uuid) -> Result<Option<String>> {
    let kept = sqlx::query_scalar!(
        "SELECT a.response_id FROM ai_replies r JOIN ai_reply_attempts a ON a.reply_id = r.id AND a.attempt = r.attempt
         WHERE r.id = $1 AND r.state IN ('cancelled', 'failed')",
        reply_id
    );
    Ok(kept.fetch_optional(connection).await?.flatten())
}

/// Begins an attempt; `None` if the reply is finished or removed, or the job is no longer held under `lease`: whoever holds it
/// by now makes the attempt. An earlier attempt that is still in progress may no longer write; what it used and cost is estimated from its
/// text. If this attempt goes on with the answer of an earlier one, it counts what both used. Afterwards readers have to be notified
/// ([`crate::queue::Notifier::notify_readers`]), because the text starts over.
pub async fn begin(
    connection: &mut PgConnection,
    reply_id: Uuid,
    provider: &str,
    lease: Option<&Lease>,
) -> Result<Option<Attempt>> {
    let row = sqlx::query!(
        r#"WITH held AS (
               SELECT FROM apalis.jobs WHERE id = $3 AND lock_by = $4 AND lock_at = $5 AND status = 'Running' FOR SHARE
           ), reply AS (
               UPDATE ai_replies SET state = 'streaming', attempt = attempt + 1, provider = $2,
                   started_at = coalesce(started_at, now())
               WHERE id = $1 AND state IN ('queued', 'streaming') AND ($3::text IS NULL OR EXISTS (SELECT FROM held))
               RETURNING id, attempt, chat_id, user_id, instruction_id, question_id, question, context, queued_at
           ), lost AS (
               UPDATE ai_reply_attempts a
               SET finished_at = now(), reason = 'superseded', error = 'superseded by a later attempt',
                   prompt_tokens = CASE WHEN a.response_id IS NULL THEN a.prompt_tokens END,
                   completion_tokens = CASE WHEN a.response_id IS NULL AND a.prompt_tokens IS NOT NULL
                       THEN ai_stored_tokens(a.reply_id, a.attempt) END,
                   cost_micros = CASE WHEN a.response_id IS NULL
                       THEN ai_cost(i.model, a.prompt_tokens, ai_stored_tokens(a.reply_id, a.attempt)) END
               FROM reply JOIN ai_system_instructions i ON i.id = reply.instruction_id
               WHERE a.reply_id = reply.id AND a.finished_at IS NULL
           ), kept AS (
               SELECT a.response_id FROM reply r
               JOIN ai_reply_attempts a ON a.reply_id = r.id AND a.started_at >= r.queued_at AND a.provider = $2
               ORDER BY a.attempt DESC LIMIT 1
           ), taken_over AS (
               UPDATE ai_reply_attempts a
               SET prompt_tokens = NULL, completion_tokens = NULL, thinking_tokens = NULL, cost_micros = NULL
               FROM reply, kept
               WHERE a.reply_id = reply.id AND a.response_id = kept.response_id AND a.finished_at IS NOT NULL
           ), begun AS (
               INSERT INTO ai_reply_attempts (reply_id, attempt, provider, response_id)
               SELECT id, attempt, $2, (SELECT response_id FROM kept) FROM reply
           )
           SELECT r.attempt, r.chat_id, r.user_id, r.question_id, r.question, r.context AS "context: Json<Context>",
               i.tool_type, i.content, i.model, i.temperature, i.max_tokens, i.show_thinking,
               ARRAY(SELECT a.reason FROM ai_reply_attempts a
                     WHERE a.reply_id = r.id AND a.started_at >= r.queued_at AND a.reason IS NOT NULL
                     ORDER BY a.attempt) AS "earlier!",
               (SELECT response_id FROM kept) AS kept
           FROM reply r JOIN ai_system_instructions i ON i.id = r.instruction_id"#,
        reply_id,
        provider,
        lease.map(|lease| lease.id.as_str()),
        lease.map(|lease| lease.worker.as_str()),
        lease.map(|lease| lease.taken_at)
    );
    let Some(row) = row.fetch_optional(connection).await? else { return Ok(None) };
    Ok(Some(Attempt {
        reply_id,
        number: row.attempt,
        chat_id: row.chat_id,
        user_id: row.user_id,
        question_id: row.question_id,
        request: Request {
            tool: stored_tool(&row.tool_type)?,
            question: row.question,
            context: row.context.0,
            instruction: row.content,
            model: row.model,
            temperature: row.temperature,
            max_tokens: row.max_tokens,
        },
        show_thinking: row.show_thinking,
        earlier: row.earlier,
        kept: row.kept,
    }))
}

/// Stores the context of an attempt in place of that which was recorded with the question. Returns `false` if the attempt may no
/// longer write and should stop.
pub async fn use_context(connection: &mut PgConnection, attempt: &Attempt) -> Result<bool> {
    let stored = sqlx::query!(
        "UPDATE ai_replies SET context = $3 WHERE id = $1 AND attempt = $2 AND state = 'streaming'",
        attempt.reply_id,
        attempt.number,
        Json(&attempt.request.context) as _
    );
    Ok(stored.execute(connection).await?.rows_affected() == 1)
}

/// Whether an attempt may still write. If not, it should stop.
pub async fn may_write(connection: &mut PgConnection, attempt: &Attempt) -> Result<bool> {
    let may = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM ai_replies WHERE id = $1 AND attempt = $2 AND state = 'streaming') AS "may!""#,
        attempt.reply_id,
        attempt.number
    );
    Ok(may.fetch_one(connection).await?)
}

/// Records that an attempt asks the provider: if its worker is lost from now on, it has perhaps been billed. The tokens are
/// estimated. How the attempt ends says whether the request was accepted. Returns `false` if the attempt has ended, and must not ask.
pub async fn asking(connection: &mut PgConnection, attempt: &Attempt, prompt_tokens: i32) -> Result<bool> {
    let asking = sqlx::query!(
        "UPDATE ai_reply_attempts SET prompt_tokens = $3, is_estimate = true
         WHERE reply_id = $1 AND attempt = $2 AND finished_at IS NULL",
        attempt.reply_id,
        attempt.number,
        prompt_tokens
    );
    Ok(asking.execute(connection).await?.rows_affected() == 1)
}

/// Records the name under which the provider keeps the answer, so that the next attempt can go on with it; `None` if the answer
/// is of no use any more.
pub async fn keep(connection: &mut PgConnection, attempt: &Attempt, response_id: Option<&str>) -> Result<()> {
    sqlx::query!(
        "UPDATE ai_reply_attempts SET response_id = $3
         WHERE reply_id = $1 AND attempt = $2 AND finished_at IS NULL",
        attempt.reply_id,
        attempt.number,
        response_id
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Stores the next chunk of an attempt's text, or of what the model thinks. `seq` counts from 1 without gaps; the same chunk may be
/// stored again. Returns `false` if the attempt may no longer write and should stop. Afterwards readers have to be notified ([`crate::queue::Notifier::notify_readers`]).
pub async fn append(
    connection: &mut PgConnection,
    attempt: &Attempt,
    seq: i32,
    text: &str,
    is_thinking: bool,
) -> Result<bool> {
    // The row of the reply is locked, so that a transaction that ends the reply sees all of its chunks.
    let inserted = sqlx::query!(
        "INSERT INTO ai_reply_chunks (reply_id, attempt, seq, content, is_thinking)
         SELECT id, attempt, $3, $4, $5 FROM ai_replies WHERE id = $1 AND attempt = $2 AND state = 'streaming' FOR SHARE
         ON CONFLICT (reply_id, attempt, seq) DO UPDATE SET content = excluded.content",
        attempt.reply_id,
        attempt.number,
        seq,
        storable(text),
        is_thinking
    )
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// What an attempt used.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// The model that was used.
    pub model: Option<String>,
    /// The tokens of the request.
    pub prompt_tokens: Option<i32>,
    /// The tokens of the answer, including those of thoughts.
    pub completion_tokens: Option<i32>,
    /// The tokens of thoughts, if the provider says how many there were.
    pub thinking_tokens: Option<i32>,
    /// Whether a number of tokens is an estimate, because the provider did not say it.
    pub is_estimate: bool,
    /// The time from the start to the first piece of text.
    pub first_token: Option<Duration>,
    /// Whether the answer was cut off at its maximum length.
    pub is_cut: bool,
    /// The cost in millionths of the operator's currency.
    pub cost_micros: Option<i64>,
}

impl Usage {
    /// What this attempt and earlier ones of the same answer have used together. Everything else is of this one.
    pub(super) fn with(&self, earlier: &Self) -> Self {
        fn sum<N>(one: Option<N>, other: Option<N>, add: fn(N, N) -> N) -> Option<N> {
            match (one, other) {
                (Some(one), Some(other)) => Some(add(one, other)),
                (one, other) => one.or(other),
            }
        }
        let tokens = |one, other| sum(one, other, i32::saturating_add);
        Self {
            prompt_tokens: tokens(self.prompt_tokens, earlier.prompt_tokens),
            completion_tokens: tokens(self.completion_tokens, earlier.completion_tokens),
            thinking_tokens: tokens(self.thinking_tokens, earlier.thinking_tokens),
            cost_micros: sum(self.cost_micros, earlier.cost_micros, i64::saturating_add),
            is_estimate: self.is_estimate || earlier.is_estimate,
            ..self.clone()
        }
    }

    /// The time to the first piece of text in milliseconds, as it is stored.
    pub(super) fn first_token_ms(&self) -> Option<i32> {
        self.first_token.map(|time| i32::try_from(time.as_millis()).unwrap_or(i32::MAX))
    }
}

/// Completes a reply: stores its answer as a message of the chat. Writes nothing and returns `false` if the attempt may no longer
/// write, so a reply gets one answer, however many attempts finish.
pub async fn complete(tx: &mut Tx, attempt: &Attempt, text: &str, usage: &Usage) -> Result<bool> {
    // The chat is locked first, as when a question is asked. In the other order the two could deadlock.
    let chat = sqlx::query!("UPDATE tool_chats SET updated_at = now() WHERE id = $1", attempt.chat_id);
    if chat.execute(&mut **tx).await?.rows_affected() == 0 {
        return Ok(false);
    }
    let text = storable(text);
    let completed = sqlx::query!(
        "WITH reply AS (
             UPDATE ai_replies SET state = 'completed', answer_id = $3, model = $6, cited = $7, finished_at = now()
             WHERE id = $1 AND attempt = $2 AND state = 'streaming'
             RETURNING chat_id, answer_id
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
        &Citations::of(&text, &attempt.request.context.sources).used
    );
    if completed.execute(&mut **tx).await?.rows_affected() == 0 {
        return Ok(false);
    }
    finish(tx, attempt, None, usage).await?;
    let target = Target::new(Noun::ToolChat, attempt.chat_id, attempt.request.tool.title());
    let details = serde_json::json!({ "tool_type": attempt.request.tool.name(), "reply_id": attempt.reply_id });
    let received = Action::new(Noun::Reply, Verb::Received).target(Some(target)).by(attempt.user_id);
    tx.record(received.with(details))?;
    tx.notify_readers(attempt.reply_id);
    let (reply_id, tool_type) = (attempt.reply_id, attempt.request.tool.name().to_owned());
    tx.emit(attempt.user_id, UserEvent::ReplyCompleted { reply_id, tool_type });
    Ok(true)
}

/// Requeues a reply for another attempt. `detail` is for operators. Returns `false` if the attempt may no longer write.
pub async fn requeue(tx: &mut Tx, attempt: &Attempt, reason: Reason, detail: &str, usage: &Usage) -> Result<bool> {
    let requeue = sqlx::query!(
        "UPDATE ai_replies SET state = 'queued' WHERE id = $1 AND attempt = $2 AND state = 'streaming'",
        attempt.reply_id,
        attempt.number
    );
    let may = requeue.execute(&mut **tx).await?.rows_affected() == 1;
    finish_if_owned(tx, attempt, may, reason, detail, usage).await
}

/// Gives up a reply. `last` is how this attempt ended, `reason` is why there is no other one, and `detail` is for operators.
/// Returns `false` if the attempt may no longer write.
pub async fn fail(
    tx: &mut Tx,
    attempt: &Attempt,
    reason: Reason,
    last: Reason,
    detail: &str,
    usage: &Usage,
) -> Result<bool> {
    let failed = sqlx::query!(
        "UPDATE ai_replies SET state = 'failed', reason = $3, finished_at = now()
         WHERE id = $1 AND attempt = $2 AND state = 'streaming'",
        attempt.reply_id,
        attempt.number,
        reason.code()
    );
    let may = failed.execute(&mut **tx).await?.rows_affected() == 1;
    if may {
        let (reply_id, tool_type) = (attempt.reply_id, attempt.request.tool.name().to_owned());
        tx.emit(attempt.user_id, UserEvent::ReplyFailed { reply_id, tool_type, reason: reason.code().to_owned() });
    }
    finish_if_owned(tx, attempt, may, last, detail, usage).await
}

/// Records what an attempt used that may no longer write, because it was billed.
pub async fn record_superseded(connection: &mut PgConnection, attempt: &Attempt, usage: &Usage) -> Result<()> {
    finish(&mut *connection, attempt, Some((Reason::Cancelled, "")), usage).await?;
    // If a later attempt goes on with the same answer, it counts what both used.
    sqlx::query!(
        "UPDATE ai_reply_attempts a
         SET prompt_tokens = NULL, completion_tokens = NULL, thinking_tokens = NULL, cost_micros = NULL
         WHERE reply_id = $1 AND attempt = $2 AND EXISTS (
             SELECT FROM ai_reply_attempts l
             WHERE l.reply_id = a.reply_id AND l.response_id = a.response_id AND l.attempt > a.attempt)",
        attempt.reply_id,
        attempt.number
    )
    .execute(connection)
    .await?;
    Ok(())
}

async fn finish_if_owned(
    tx: &mut Tx,
    attempt: &Attempt,
    may: bool,
    reason: Reason,
    detail: &str,
    usage: &Usage,
) -> Result<bool> {
    if may {
        finish(tx, attempt, Some((reason, detail)), usage).await?;
        tx.notify_readers(attempt.reply_id);
    }
    Ok(may)
}

/// Records how an attempt ended and what it used. If how it ended is known already, that is kept.
async fn finish(
    connection: &mut PgConnection,
    attempt: &Attempt,
    failed: Option<(Reason, &str)>,
    usage: &Usage,
) -> Result<()> {
    sqlx::query!(
        "UPDATE ai_reply_attempts
         SET finished_at = coalesce(finished_at, now()),
             reason = CASE WHEN finished_at IS NULL THEN $3 ELSE reason END,
             error = CASE WHEN finished_at IS NULL THEN left($4, 2000) ELSE error END,
             model = $5, prompt_tokens = $6, completion_tokens = $7, first_token_ms = $8, is_cut = $9, cost_micros = $10,
             thinking_tokens = $11, is_estimate = $12
         WHERE reply_id = $1 AND attempt = $2",
        attempt.reply_id,
        attempt.number,
        failed.map(|(reason, _)| reason.code()),
        failed.map(|(_, detail)| storable(detail)).filter(|detail| !detail.is_empty()),
        usage.model,
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.first_token_ms(),
        usage.is_cut,
        usage.cost_micros,
        usage.thinking_tokens,
        usage.is_estimate
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Removes what Postgres cannot store: a model may send anything, including NUL characters.
pub(super) fn storable(text: &str) -> String {
    text.replace('\0', "")
}
