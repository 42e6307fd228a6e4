//! Asking a tool a question.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::budgets::{self, BudgetExceeded};
use super::context::{self, Context};
use super::messages::{Author, Message};
use super::replies::ReplyState;
use super::{Tool, unanswered};
use crate::Result;
use crate::activity::{Action, Target, Verb};
use crate::actor::Caller;
use crate::clock::new_id;
use crate::db::UserTx;
use crate::events::UserEvent;
use crate::noun::Noun;
use crate::refusal::{OrRefuse, Rejected};
use crate::settings::Settings;
use crate::tools::jobs::GenerateReply;

/// How many questions a learner may ask in 24 hours, over all tools. A question counts whether or not it was answered, and
/// counts again when its reply is retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The maximum.
    pub limit: i64,
    /// The number of questions in the last 24 hours.
    pub used: i64,
    /// When one more question may be asked; `None` if none was asked, or the limit is 0.
    pub resets_at: Option<DateTime<Utc>>,
    /// The time until `resets_at`, by the database's clock; 24 hours if that is `None`.
    pub resets_in: Duration,
}

/// The caller's quota, and how much of it is used.
pub async fn quota(connection: &mut PgConnection, caller: &Caller, settings: &Settings) -> Result<Quota> {
    let limit = settings.daily_questions.max(0);
    // Usually the oldest question is the next to leave the 24 hours. If the limit was lowered, several have to leave.
    let row = sqlx::query!(
        r#"SELECT count(*) AS "used!", min(at) FILTER (WHERE nth <= $2) + interval '24 hours' AS resets_at,
               extract(epoch FROM min(at) FILTER (WHERE nth <= $2) + interval '24 hours' - now())::float8
                   AS seconds
           FROM (SELECT asked.at, row_number() OVER (ORDER BY asked.at DESC) AS nth
                 FROM ai_replies r CROSS JOIN LATERAL unnest(r.retried_at || r.created_at) AS asked (at)
                 WHERE r.user_id = $1 AND r.queued_at > now() - interval '24 hours'
                   AND asked.at > now() - interval '24 hours'
                   -- Later than now is what was asked before the clock was set back.
                   AND asked.at < now() + interval '1 minute') asked"#,
        caller.user_id,
        limit
    )
    .fetch_one(connection)
    .await?;
    let seconds = row.seconds.unwrap_or(86_400.0).clamp(0.0, 86_400.0);
    Ok(Quota { limit, used: row.used, resets_at: row.resets_at, resets_in: Duration::from_secs_f64(seconds) })
}

/// A question.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The tool that is asked.
    pub tool: Tool,
    /// The text.
    pub text: &'a str,
    /// The message of another chat that the text was copied from.
    pub transferred_from: Option<Uuid>,
}

/// A question that was accepted.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The queued reply.
    pub reply_id: Uuid,
    /// The stored question.
    pub message: Message,
}

/// Why a question is not accepted.
#[derive(Clone, Debug)]
pub enum AskRefusal {
    /// The chat has a reply that is queued or being generated.
    ReplyOpen,
    /// The caller has the maximum number of open replies in other chats.
    TooManyOpen {
        /// `ai.open_replies_per_user`.
        limit: i64,
    },
    /// The quota is used up.
    QuotaUsed(Quota),
    /// A budget leaves nothing for another reply.
    BudgetExceeded(BudgetExceeded),
    /// The tool has no active instruction.
    Unavailable,
}

impl From<BudgetExceeded> for AskRefusal {
    fn from(exceeded: BudgetExceeded) -> Self {
        Self::BudgetExceeded(exceeded)
    }
}

/// Asks a tool: admits the question, gathers its context, stores it with a queued reply, and enqueues the job that generates the
/// answer. The answer is based on the active instruction, the text and the context of this moment, whatever is edited or
/// cleared later.
pub async fn ask(
    tx: &mut UserTx,
    settings: &Settings,
    question: &Question<'_>,
) -> Result<Accepted, Rejected<AskRefusal>> {
    let (tool, text) = (question.tool, question.text);
    let slot = admit_question(tx, settings, tool).await?;
    let user_id = tx.caller().user_id;
    let context = context::gather(tx, user_id, text, slot.include_learner).await?;
    let (reply_id, message_id) = (new_id(), new_id());
    let created_at = insert_question(tx, &slot, &context, reply_id, message_id, text).await?;
    note_unanswered(tx, tool, reply_id, text, &context).await?;
    budgets::reserve(tx, settings, user_id, tool, reply_id).await.map_err(Rejected::widen)?;
    tx.enqueue(&GenerateReply { reply_id, retry: 0 })?;
    tx.emit(user_id, UserEvent::ReplyQueued { reply_id, tool_type: tool.name().to_owned() });
    let target = Target::new(Noun::ToolChat, slot.chat_id, tool.title());
    let mut details = serde_json::json!({ "tool_type": tool.name(), "reply_id": reply_id });
    if let Some(message_id) = question.transferred_from {
        details["transferred_from"] = serde_json::json!(message_id);
    }
    tx.record(Action::new(Noun::Question, Verb::Asked).target(Some(target)).with(details))?;
    let message = Message {
        id: message_id,
        chat_id: slot.chat_id,
        author: Author::User,
        content: text.to_owned(),
        has_copyable_content: false,
        created_at,
        reply_id: Some(reply_id),
        reply_state: Some(ReplyState::Queued),
    };
    Ok(Accepted { reply_id, message })
}

/// Notes what was looked for if nothing was found.
pub(super) async fn note_unanswered(
    connection: &mut PgConnection,
    tool: Tool,
    reply_id: Uuid,
    text: &str,
    context: &Context,
) -> Result<()> {
    if context.sources.is_empty() { unanswered::note(connection, tool, reply_id, text).await } else { Ok(()) }
}

/// Permission to ask a question: the chat, which is locked, and the active instruction.
pub(super) struct AskSlot {
    pub(super) chat_id: Uuid,
    pub(super) instruction_id: Uuid,
    /// Whether the instruction asks for information about the learner.
    pub(super) include_learner: bool,
}

/// Checks whether the caller may ask a tool now. If so, locks their chat, so that they still may when the transaction ends.
pub(super) async fn admit_question(
    tx: &mut UserTx,
    settings: &Settings,
    tool: Tool,
) -> Result<AskSlot, Rejected<AskRefusal>> {
    let caller = tx.caller().clone();
    // Concurrent questions of one learner wait for each other here, so that the counts below are exact. Locks are always
    // taken in the order user, chat, reply.
    sqlx::query!("SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE", caller.user_id).execute(&mut ***tx).await?;
    let quota = quota(tx, &caller, settings).await?;
    if quota.used >= quota.limit {
        return Err(Rejected::Refused(AskRefusal::QuotaUsed(quota)));
    }
    let instruction = sqlx::query!(
        "SELECT id, include_learner FROM ai_system_instructions WHERE tool_type = $1 AND is_active",
        tool.name()
    );
    let instruction = instruction.fetch_optional(&mut ***tx).await?.or_refuse(AskRefusal::Unavailable)?;
    let chat_id = lock_chat(tx, &caller, tool).await?;
    let (here, elsewhere) = open_replies(tx, &caller, chat_id).await?;
    let limit = settings.open_replies_per_user.max(1);
    if elsewhere >= limit {
        return Err(Rejected::Refused(AskRefusal::TooManyOpen { limit }));
    }
    if here > 0 {
        return Err(Rejected::Refused(AskRefusal::ReplyOpen));
    }
    Ok(AskSlot { chat_id, instruction_id: instruction.id, include_learner: instruction.include_learner })
}

/// Gets or creates the caller's chat with a tool, and locks it until the transaction ends.
async fn lock_chat(connection: &mut PgConnection, caller: &Caller, tool: Tool) -> Result<Uuid> {
    // The conflict names columns, because the constraint of an adopted table may have any name.
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

/// The number of open replies in a chat of the caller, and in their other chats.
async fn open_replies(connection: &mut PgConnection, caller: &Caller, chat_id: Uuid) -> Result<(i64, i64)> {
    let open = sqlx::query!(
        r#"SELECT count(*) FILTER (WHERE r.chat_id = $2) AS "here!", count(*) FILTER (WHERE r.chat_id <> $2) AS "elsewhere!"
           FROM ai_replies r
           WHERE r.state IN ('queued', 'streaming') AND r.chat_id IN (SELECT id FROM tool_chats WHERE user_id = $1)"#,
        caller.user_id,
        chat_id
    );
    let open = open.fetch_one(connection).await?;
    Ok((open.here, open.elsewhere))
}

/// Stores the question and its reply. Returns the time of the question, which is later than that of any message in the chat,
/// even if clocks disagree.
async fn insert_question(
    tx: &mut UserTx,
    slot: &AskSlot,
    context: &Context,
    reply_id: Uuid,
    message_id: Uuid,
    text: &str,
) -> Result<DateTime<Utc>> {
    let created_at = sqlx::query_scalar!(
        r#"WITH reply AS (
               INSERT INTO ai_replies (id, chat_id, user_id, question_id, instruction_id, question, context)
               VALUES ($1, $2, $3, $4, $5, $6, $7)
           )
           INSERT INTO tool_messages (id, chat_id, role, content, created_at)
           SELECT $4, $2, 'user', $6, greatest(clock_timestamp(),
               (SELECT max(created_at) FROM tool_messages WHERE chat_id = $2) + interval '1 microsecond')
           RETURNING created_at AS "created_at!""#,
        reply_id,
        slot.chat_id,
        tx.caller().user_id,
        message_id,
        slot.instruction_id,
        text,
        Json(context) as _
    );
    Ok(created_at.fetch_one(&mut ***tx).await?)
}
