//! Replies of the tools.

use cairn_core::actor::Caller;
use cairn_core::settings;
use cairn_core::tools::cancel;
use cairn_core::tools::replies;
use cairn_core::tools::retry;
use chrono::{DateTime, Utc};
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{Enum, Object, OpenApi};
use sqlx::PgConnection;
use uuid::Uuid;

use super::ToolType;
use crate::answers::Accepted;
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::{App, Code, Problem};

/// Replies of the tools.
pub struct RepliesApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[
    ("getReply", &[Code::ReplyNotFound]),
    ("cancelReply", &[Code::ReplyNotFound, Code::ReplyFinished]),
    (
        "retryReply",
        &[Code::ReplyNotFound, Code::ReplyNotRetryable, Code::ReplyOpen, Code::TooManyOpenReplies, Code::QuotaExceeded],
    ),
];

/// How far a reply is. `completed`, `failed` and `cancelled` are final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub enum ReplyState {
    /// Waits for its turn.
    Queued,
    /// Is being written.
    Streaming,
    /// Done.
    Completed,
    /// Given up; see the reason.
    Failed,
    /// Stopped; see the reason.
    Cancelled,
}

impl From<replies::ReplyState> for ReplyState {
    fn from(state: replies::ReplyState) -> Self {
        match state {
            replies::ReplyState::Queued => Self::Queued,
            replies::ReplyState::Streaming => Self::Streaming,
            replies::ReplyState::Completed => Self::Completed,
            replies::ReplyState::Failed => Self::Failed,
            replies::ReplyState::Cancelled => Self::Cancelled,
        }
    }
}

/// A reply to one of your questions.
#[derive(Clone, Debug, Object)]
#[oai(example)]
pub struct Reply {
    /// The reply's id.
    pub id: Uuid,
    /// Who answers.
    pub tool_type: ToolType,
    /// How far it is.
    pub state: ReplyState,
    /// Why it failed or was cancelled, for programs.
    pub reason: Option<String>,
    /// The answer, or what there is of it. It becomes shorter when it is written anew, which `attempts` counts.
    pub text: String,
    /// How often writing it was begun.
    #[oai(validator(minimum(value = "0")))]
    pub attempts: i32,
    /// Whether the answer holds a block to copy; false until it is a message.
    pub has_copyable_content: bool,
    /// The message with the question; null when it was cleared.
    pub question_id: Option<Uuid>,
    /// The message with the answer, or with what there was of it when it was cancelled; null while there is none, and
    /// when it was cleared.
    pub answer_id: Option<Uuid>,
    /// When the question was asked.
    pub created_at: DateTime<Utc>,
    /// When it reached its final state.
    pub finished_at: Option<DateTime<Utc>>,
}

impl From<replies::Reply> for Reply {
    fn from(reply: replies::Reply) -> Self {
        Self {
            id: reply.id,
            tool_type: reply.tool.into(),
            state: reply.state.into(),
            reason: reply.reason,
            text: reply.text,
            attempts: reply.attempts,
            has_copyable_content: reply.has_copyable_content,
            question_id: reply.question_id,
            answer_id: reply.answer_id,
            created_at: reply.created_at,
            finished_at: reply.finished_at,
        }
    }
}

impl Example for Reply {
    fn example() -> Self {
        Self {
            id: Uuid::from_u128(0x0198_c2f0_7a53_7cc1_9d2e_3f6b_8a1c_5d04),
            tool_type: ToolType::Assistant,
            state: ReplyState::Completed,
            reason: None,
            text: "Use a grid with `place-items: center`.".to_owned(),
            attempts: 1,
            has_copyable_content: false,
            question_id: Some(Uuid::from_u128(0x0198_c2f0_7a53_7cc1_9d2e_3f6b_8a1c_5d03)),
            answer_id: Some(Uuid::from_u128(0x0198_c2f0_7a53_7cc1_9d2e_3f6b_8a1c_5d05)),
            created_at: DateTime::UNIX_EPOCH,
            finished_at: Some(DateTime::UNIX_EPOCH),
        }
    }
}

#[OpenApi]
impl RepliesApi {
    /// Get a reply of mine
    #[oai(path = "/replies/:reply_id", method = "get", operation_id = "getReply", tag = Tag::Tools)]
    async fn get_reply(
        &self,
        caller: Member,
        /// The reply.
        reply_id: Path<Uuid>,
    ) -> Result<Json<Reply>, Problem> {
        let mut connection = self.app.connection().await?;
        find(&mut connection, &caller, reply_id.0).await
    }

    /// Cancel a reply of mine
    ///
    /// Works until the reply is completed or has failed; repeating it changes nothing. What there is of the answer stays
    /// in the chat, as a message whose reply is `cancelled`. The question counts all the same.
    #[oai(path = "/replies/:reply_id/cancel", method = "post", operation_id = "cancelReply", tag = Tag::Tools)]
    async fn cancel_reply(
        &self,
        caller: Member,
        /// The reply.
        reply_id: Path<Uuid>,
    ) -> Result<Json<Reply>, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        cancel::cancel(&mut tx, reply_id.0).await?;
        let reply = find(&mut tx, &caller, reply_id.0).await?;
        tx.commit().await?;
        Ok(reply)
    }

    /// Have a reply of mine written anew
    ///
    /// For a reply that failed or was cancelled, while its question is in the chat. It is as if the question were asked
    /// now: it counts once more, and what there is of the answer goes. The reply keeps its id, and those who follow it are
    /// told to drop what they have.
    #[oai(path = "/replies/:reply_id/retry", method = "post", operation_id = "retryReply", tag = Tag::Tools)]
    async fn retry_reply(
        &self,
        caller: Member,
        /// The reply.
        reply_id: Path<Uuid>,
    ) -> Result<Accepted<Reply>, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        let settings = settings::load(&mut tx).await?;
        retry::retry(&mut tx, &settings, reply_id.0).await?;
        let reply = find(&mut tx, &caller, reply_id.0).await?;
        tx.commit().await?;
        Ok(Accepted(reply.0))
    }
}

async fn find(connection: &mut PgConnection, caller: &Caller, id: Uuid) -> Result<Json<Reply>, Problem> {
    let reply = replies::find(connection, caller, id).await?;
    Ok(Json(reply.ok_or_else(Problem::reply_not_found)?.into()))
}
