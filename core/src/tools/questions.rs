//! Asking a tool.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::Tool;
use super::context::{self, Context};
use super::messages::{Author, Message};
use crate::Result;
use crate::admin::activity::{Action, Event, Target};
use crate::admin::settings::Settings;
use crate::clock::{Clock, new_id};
use crate::db::Tx;
use crate::jobs::{GenerateReply, Job};
use crate::users::Caller;

/// How many questions a learner may ask in 24 hours, over all tools. Asked questions count, answered or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// At most so many.
    pub limit: i64,
    /// Asked in the last 24 hours.
    pub used: i64,
    /// When one more than now may be asked; none if nothing was asked, or the limit is 0.
    pub resets_at: Option<DateTime<Utc>>,
    /// Until then, by the database's clock; 24 hours where `resets_at` is none.
    pub resets_in: Duration,
}

/// The caller's quota and what is used of it.
pub async fn quota(connection: &mut PgConnection, caller: &Caller, settings: &Settings) -> Result<Quota> {
    let limit = settings.daily_questions.max(0);
    // While no more than the limit was asked, the oldest question is the next to fall out; after the limit was lowered,
    // more have to.
    let row = sqlx::query!(
        r#"SELECT count(*) AS "used!", min(created_at) FILTER (WHERE nth <= $2) + interval '24 hours' AS resets_at,
               extract(epoch FROM min(created_at) FILTER (WHERE nth <= $2) + interval '24 hours' - now())::float8
                   AS seconds
           FROM (SELECT created_at, row_number() OVER (ORDER BY created_at DESC) AS nth FROM ai_replies
                 WHERE user_id = $1 AND created_at > now() - interval '24 hours') asked"#,
        caller.user_id,
        limit
    )
    .fetch_one(connection)
    .await?;
    let seconds = row.seconds.unwrap_or(86_400.0).clamp(0.0, 86_400.0);
    Ok(Quota { limit, used: row.used, resets_at: row.resets_at, resets_in: Duration::from_secs_f64(seconds) })
}

/// What came of asking. Only [`Asked::Accepted`] has written anything that is to be committed.
#[derive(Clone, Debug)]
pub enum Asked {
    /// The reply is queued.
    Accepted {
        /// The reply.
        reply_id: Uuid,
        /// The stored question.
        message: Message,
    },
    /// The chat has a reply that is queued or being written.
    ReplyOpen,
    /// As many replies as allowed are being written for the caller, in other chats.
    TooManyOpen {
        /// `ai.open_replies_per_user`.
        limit: i64,
    },
    /// No question is left for now.
    QuotaUsed(Quota),
    /// The tool has no active instruction.
    Unavailable,
}

/// Asks a tool: stores the question and a queued reply, and has the worker write the answer. The instruction that is
/// active now, the text as it is now and what the platform has on it now are what will be answered, whatever is edited or
/// cleared meanwhile.
pub async fn ask(
    tx: &mut Tx,
    clock: &Clock,
    caller: &Caller,
    settings: &Settings,
    tool: Tool,
    text: &str,
) -> Result<Asked> {
    // Questions of one learner wait for each other here, so that the counts below are exact. Locks are always taken in
    // the order user, chat, reply.
    sqlx::query!("SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE", caller.user_id).execute(&mut **tx).await?;
    let quota = quota(tx, caller, settings).await?;
    if quota.used >= quota.limit {
        return Ok(Asked::QuotaUsed(quota));
    }
    let instruction = sqlx::query!(
        "SELECT id, include_learner FROM ai_system_instructions WHERE tool_type = $1 AND is_active",
        tool.name()
    );
    let Some(instruction) = instruction.fetch_optional(&mut **tx).await? else { return Ok(Asked::Unavailable) };
    let chat_id = lock_chat(tx, caller, tool).await?;
    let limit = settings.open_replies_per_user.max(1);
    if open_elsewhere(tx, caller, chat_id).await? >= limit {
        return Ok(Asked::TooManyOpen { limit });
    }
    let context = context::gather(tx, caller, text, instruction.include_learner).await?;
    let new = NewReply { id: new_id(), message_id: new_id(), chat_id, instruction_id: instruction.id, context };
    let Some(created_at) = insert_question(tx, caller, &new, text).await? else { return Ok(Asked::ReplyOpen) };
    let reply_id = new.id;
    GenerateReply { reply_id }.enqueue(tx)?;
    let target = Target::new("tool_chat", chat_id, tool.title());
    Event::by(caller, clock, Action::QuestionAsked, Some(target))
        .with(serde_json::json!({ "tool_type": tool.name(), "reply_id": reply_id }))
        .record(tx)?;
    let message = Message {
        id: new.message_id,
        author: Author::User,
        content: text.to_owned(),
        has_copyable_content: false,
        created_at,
        reply_id: Some(reply_id),
    };
    Ok(Asked::Accepted { reply_id, message })
}

/// Gets or creates the caller's chat with a tool, and locks it until the transaction ends.
async fn lock_chat(connection: &mut PgConnection, caller: &Caller, tool: Tool) -> Result<Uuid> {
    // The conflict names columns because the constraint of an adopted table may be called anything.
    let chat_id = sqlx::query_scalar!(
        "INSERT INTO tool_chats (id, user_id, tool_type) VALUES ($1, $2, $3)
         ON CONFLICT (user_id, tool_type) DO UPDATE SET updated_at = now()
         RETURNING id",
        new_id(),
        caller.user_id,
        tool.name()
    );
    Ok(chat_id.fetch_one(connection).await?)
}

/// How many replies are open in other chats of the caller.
async fn open_elsewhere(connection: &mut PgConnection, caller: &Caller, chat_id: Uuid) -> Result<i64> {
    let open = sqlx::query_scalar!(
        r#"SELECT count(*) AS "open!" FROM ai_replies
           WHERE state IN ('queued', 'streaming')
             AND chat_id IN (SELECT id FROM tool_chats WHERE user_id = $1 AND id <> $2)"#,
        caller.user_id,
        chat_id
    );
    Ok(open.fetch_one(connection).await?)
}

/// A reply that is about to be stored.
struct NewReply {
    id: Uuid,
    message_id: Uuid,
    chat_id: Uuid,
    instruction_id: Uuid,
    context: Context,
}

/// Stores question and reply, both or, when the chat has an open reply, neither. Returns the question's time: later than
/// that of any message in the chat, even when clocks disagree.
async fn insert_question(
    connection: &mut PgConnection,
    caller: &Caller,
    new: &NewReply,
    text: &str,
) -> Result<Option<DateTime<Utc>>> {
    let created_at = sqlx::query_scalar!(
        r#"WITH reply AS (
               INSERT INTO ai_replies (id, chat_id, user_id, question_id, instruction_id, question, context)
               VALUES ($1, $2, $3, $4, $5, $6, $7)
               ON CONFLICT (chat_id) WHERE state IN ('queued', 'streaming') DO NOTHING
               RETURNING question_id
           )
           INSERT INTO tool_messages (id, chat_id, role, content, created_at)
           SELECT question_id, $2, 'user', $6, greatest(clock_timestamp(),
               (SELECT max(created_at) FROM tool_messages WHERE chat_id = $2) + interval '1 microsecond')
           FROM reply
           RETURNING created_at AS "created_at!""#,
        new.id,
        new.chat_id,
        caller.user_id,
        new.message_id,
        new.instruction_id,
        text,
        Json(&new.context) as _
    );
    Ok(created_at.fetch_optional(connection).await?)
}
