//! Replies: `queued → streaming → completed | failed(reason) | cancelled`. The worker writes them in
//! [attempts](super::attempts).

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Reason, Tool, stored_tool};
use crate::Result;
use crate::activity::Noun;
use crate::actor::Caller;
use crate::db::Tx;
use crate::refusal::{NotFound, OrRefuse, Rejected};

/// How far a reply is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "reply_state", rename_all = "snake_case")]
pub enum ReplyState {
    /// Waits for a worker, or for its provider.
    Queued,
    /// Is being written.
    Streaming,
    /// Done; its answer is a message of the chat.
    Completed,
    /// Given up; see the [`Reason`].
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
pub async fn find(connection: &mut PgConnection, caller: &Caller, id: Uuid) -> Result<Reply, Rejected<NotFound>> {
    let row = sqlx::query!(
        r#"SELECT r.id, c.tool_type, r.state AS "state: ReplyState", r.reason, r.question_id, r.answer_id,
               (SELECT count(*) FROM ai_reply_attempts a WHERE a.reply_id = r.id)::integer AS "attempts!", r.created_at, r.finished_at, coalesce(m.has_copyable_content, false) AS "has_copyable_content!",
               coalesce(m.content, (SELECT string_agg(k.content, '' ORDER BY k.seq) FROM ai_reply_chunks k
                                    WHERE k.reply_id = r.id AND k.attempt = r.attempt), '') AS "text!"
           FROM ai_replies r
           JOIN tool_chats c ON c.id = r.chat_id
           LEFT JOIN tool_messages m ON m.id = r.answer_id
           WHERE r.id = $1 AND r.user_id = $2"#,
        id,
        caller.user_id
    );
    let row = row.fetch_optional(connection).await?.or_not_found(Noun::Reply)?;
    Ok(Reply {
        id: row.id,
        tool: stored_tool(&row.tool_type)?,
        state: row.state,
        reason: row.reason,
        text: row.text,
        attempts: row.attempts,
        has_copyable_content: row.has_copyable_content,
        question_id: row.question_id,
        answer_id: row.answer_id,
        created_at: row.created_at,
        finished_at: row.finished_at,
    })
}

/// Gives a reply up that nobody is writing, whatever attempt it is in. False when it is finished or gone.
pub async fn give_up(tx: &mut Tx, id: Uuid, reason: Reason) -> Result<bool> {
    let failed = sqlx::query_scalar!(
        r#"WITH reply AS (
               UPDATE ai_replies SET state = 'failed', reason = $2, finished_at = now()
               WHERE id = $1 AND state IN ('queued', 'streaming')
               RETURNING id
           ), ended AS (
               UPDATE ai_reply_attempts a SET finished_at = now(), reason = $2
               FROM reply WHERE a.reply_id = reply.id AND a.finished_at IS NULL
           )
           SELECT count(*) AS "failed!" FROM reply"#,
        id,
        reason.code()
    );
    let failed = failed.fetch_one(&mut **tx).await? == 1;
    if failed {
        tx.announce(id);
    }
    Ok(failed)
}
