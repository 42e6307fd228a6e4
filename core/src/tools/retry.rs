//! Retrying a reply.

use sqlx::types::Json;
use uuid::Uuid;

use super::questions::{self, AskRefusal};
use super::replies::ReplyState;
use super::{budgets, context, stored_tool, unanswered};
use crate::activity::{Action, Target, Verb};
use crate::db::UserTx;
use crate::events::UserEvent;
use crate::noun::Noun;
use crate::refusal::{NotFound, OrRefuse, Rejected};
use crate::settings::Settings;
use crate::tools::jobs::GenerateReply;

/// Why a reply is not retried.
#[derive(Clone, Debug)]
pub enum RetryRefusal {
    /// The caller has no such reply.
    NotFound(NotFound),
    /// The reply is neither failed nor cancelled, its question was cleared, or it was retried too often.
    NotRetryable,
    /// A new question would be refused too.
    Ask(AskRefusal),
}

impl From<NotFound> for RetryRefusal {
    fn from(not_found: NotFound) -> Self {
        Self::NotFound(not_found)
    }
}

impl From<AskRefusal> for RetryRefusal {
    fn from(refusal: AskRefusal) -> Self {
        Self::Ask(refusal)
    }
}

/// Requests a reply again, as if its question were asked now: it counts as a question, and the answer is based on the active
/// instruction and the context of this moment. The incomplete answer is removed.
pub async fn retry(tx: &mut UserTx, settings: &Settings, reply_id: Uuid) -> Result<(), Rejected<RetryRefusal>> {
    let reply = sqlx::query!(
        r#"SELECT r.state AS "state: ReplyState", r.question, r.question_id, c.tool_type
           FROM ai_replies r JOIN tool_chats c ON c.id = r.chat_id WHERE r.id = $1 AND r.user_id = $2"#,
        reply_id,
        tx.caller().user_id
    );
    let reply = reply.fetch_optional(&mut ***tx).await?.or_not_found(Noun::Reply)?;
    if !matches!(reply.state, ReplyState::Failed | ReplyState::Cancelled) || reply.question_id.is_none() {
        return Err(Rejected::Refused(RetryRefusal::NotRetryable));
    }
    let tool = stored_tool(&reply.tool_type)?;
    let slot = questions::admit_question(tx, settings, tool).await.map_err(Rejected::widen)?;
    let user_id = tx.caller().user_id;
    let context = context::gather(tx, user_id, &reply.question, slot.include_learner).await?;
    sqlx::query!("DELETE FROM tool_messages m USING ai_replies r WHERE r.id = $1 AND m.id = r.answer_id", reply_id)
        .execute(&mut ***tx)
        .await?;
    // The number of the next attempt is used at once, so that readers drop their text.
    let retry = sqlx::query_scalar!(
        r#"UPDATE ai_replies
           SET state = 'queued', attempt = attempt + 1, reason = NULL, started_at = NULL, finished_at = NULL,
               instruction_id = $2, context = $3, queued_at = now(), retried_at = retried_at || now(),
               chunks_removed = false
           WHERE id = $1 AND state IN ('failed', 'cancelled') AND question_id IS NOT NULL
             AND cardinality(retried_at) < 20
           RETURNING cardinality(retried_at) AS "retry!""#,
        reply_id,
        slot.instruction_id,
        Json(&context) as _
    );
    let retry = retry.fetch_optional(&mut ***tx).await?.or_refuse(RetryRefusal::NotRetryable)?;
    unanswered::remove(tx, reply_id).await?;
    questions::note_unanswered(tx, tool, reply_id, &reply.question, &context).await?;
    budgets::reserve(tx, settings, user_id, tool, reply_id)
        .await
        .map_err(|refusal| refusal.widen::<AskRefusal>().widen())?;
    tx.enqueue(&GenerateReply { reply_id, retry })?;
    tx.notify_readers(reply_id);
    tx.emit(user_id, UserEvent::ReplyQueued { reply_id, tool_type: tool.name().to_owned() });
    let target = Target::new(Noun::ToolChat, slot.chat_id, tool.title());
    let details = serde_json::json!({ "tool_type": tool.name(), "reply_id": reply_id });
    tx.record(Action::new(Noun::Reply, Verb::Retried).target(Some(target)).with(details))?;
    Ok(())
}
