//! Replies of the tools.

use cairn_core::tools::replies;
use chrono::{DateTime, Utc};
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{Enum, Object, OpenApi};
use uuid::Uuid;

use super::ToolType;
use crate::caller::Member;
use crate::routes::{Problems, Tag};
use crate::{App, Code, Problem};

/// Replies of the tools.
pub struct RepliesApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[("getReply", &[Code::ReplyNotFound])];

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
    /// The answer, or what there is of it so far. It may become shorter when `attempts` grows: then it is being written
    /// anew.
    pub text: String,
    /// How often writing it was begun.
    #[oai(validator(minimum(value = "0")))]
    pub attempts: i32,
    /// Whether the answer holds a block to copy; false until it is completed.
    pub has_copyable_content: bool,
    /// The message with the question; null when it was cleared.
    pub question_id: Option<Uuid>,
    /// The message with the answer; null until the reply is completed, and when it was cleared.
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
        let reply = replies::find(&mut connection, &caller, reply_id.0).await?;
        Ok(Json(reply.ok_or_else(Problem::reply_not_found)?.into()))
    }
}
