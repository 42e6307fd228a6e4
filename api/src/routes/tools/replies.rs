//! Replies of the tools.

use cairn_core::actor::Caller;
use cairn_core::tools::cancel;
use cairn_core::tools::ratings;
use cairn_core::tools::replies;
use cairn_core::tools::retry;
use cairn_core::tools::sources;
use poem_openapi::param::Path;
use poem_openapi::payload::Json;
use poem_openapi::{Enum, Object, OpenApi};
use sqlx::PgConnection;
use uuid::Uuid;

use super::ToolType;
use crate::answers::Accepted;
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::routes::library::search::SearchHitType;
use crate::time::{OptionalTime, Time};
use crate::view::view;
use crate::{App, Code, Problem};

/// Replies of the tools.
pub struct RepliesApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[
    ("cancelReply", &[Code::ReplyFinished]),
    (
        "retryReply",
        &[
            Code::ReplyNotRetryable,
            Code::ReplyOpen,
            Code::TooManyOpenReplies,
            Code::QuotaExceeded,
            Code::BudgetExceeded,
        ],
    ),
];

/// The state of a reply. `completed`, `failed` and `cancelled` are final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case", remote = "replies::ReplyState")]
pub enum ReplyState {
    /// Waiting to be written.
    Queued,
    /// Being written.
    Streaming,
    /// Completed.
    Completed,
    /// Failed; see `reason`.
    Failed,
    /// Cancelled; see `reason`.
    Cancelled,
}

/// What you think of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case", remote = "ratings::Thumb")]
pub enum Thumb {
    /// It helped.
    Up,
    /// It did not help.
    Down,
}

/// A reply to one of your questions.
#[derive(Clone, Debug, Object)]
pub struct Reply {
    /// Identifies the reply.
    pub id: Uuid,
    /// The tool that answers.
    pub tool_type: ToolType,
    /// The state.
    pub state: ReplyState,
    /// Why the reply failed or was cancelled, as a code; null otherwise.
    pub reason: Option<String>,
    /// The answer so far. A new attempt starts over, so that the text becomes shorter.
    pub text: String,
    /// The number of attempts at writing the answer.
    #[oai(validator(minimum(value = "0")))]
    pub attempts: i32,
    /// Whether the answer contains a block to copy; false until the reply is final.
    pub has_copyable_content: bool,
    /// Identifies the message with the question; null if it was cleared.
    pub question_id: Option<Uuid>,
    /// Identifies the message with the answer, which is incomplete if the reply was cancelled; null if there is none yet,
    /// or if it was cleared.
    pub answer_id: Option<Uuid>,
    /// What you think of it; null if you have not said.
    pub thumb: Option<Thumb>,
    /// Why you think so; null if you have not said.
    pub thumb_reason: Option<String>,
    /// When the question was asked.
    pub created_at: Time,
    /// When the reply reached its final state; null until then.
    pub finished_at: OptionalTime,
    /// What the answer could refer to, the best match first; empty until the reply is completed. What you may no longer
    /// see is left out.
    #[oai(validator(max_items = 100))]
    pub sources: Vec<ReplySource>,
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
            thumb: reply.thumb.map(Into::into),
            thumb_reason: reply.thumb_reason,
            created_at: reply.created_at.into(),
            finished_at: reply.finished_at.into(),
            sources: reply.sources.into_iter().map(Into::into).collect(),
        }
    }
}

view! {
    /// An item of the platform's content that an answer was given.
    pub struct ReplySource from sources::ReplySource {
        /// Its number, by which the answer cites it in square brackets, such as `[1]`. Other numbers in the answer are
        /// inventions of the model.
        #[oai(validator(minimum(value = "1")))]
        number: i32,
        /// What it is, and so where to get it.
        #[oai(rename = "type")]
        kind: SearchHitType,
        /// Identifies it among those of its type.
        id: Uuid,
        /// The name in URLs.
        slug: String,
        /// The title, or the term.
        title: String,
        /// The passage of its text that fits the question best, in Markdown; its summary or definition if there is none.
        passage: String,
        /// Whether the answer refers to it.
        is_used: bool,
        /// Whether it is a lesson that you cannot read yet. Its passage is its summary then.
        is_locked: bool,
    }
}

#[OpenApi]
impl RepliesApi {
    /// Get a reply
    ///
    /// Its state and its text so far. `streamReply` follows it as it is written.
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

    /// Cancel a reply
    ///
    /// Possible until the reply is completed or has failed; repeating the call has no effect. The answer so far stays in
    /// the chat, as a message whose reply is `cancelled`. The question still counts towards the quota.
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

    /// Retry a reply
    ///
    /// For a reply that failed or was cancelled, as long as its question is in the chat. The question is asked again: it
    /// counts towards the quota once more, and the answer so far is deleted. The reply keeps its id, and its streams get
    /// the event `restart`.
    #[oai(path = "/replies/:reply_id/retry", method = "post", operation_id = "retryReply", tag = Tag::Tools)]
    async fn retry_reply(
        &self,
        caller: Member,
        /// The reply.
        reply_id: Path<Uuid>,
    ) -> Result<Accepted<Reply>, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        let settings = self.app.settings(&mut tx).await?;
        retry::retry(&mut tx, &settings, reply_id.0).await?;
        let reply = find(&mut tx, &caller, reply_id.0).await?;
        tx.commit().await?;
        Ok(Accepted::at(format!("/v1/replies/{}", reply.id), reply.0))
    }
}

/// The reply of the caller with that id.
pub(super) async fn find(connection: &mut PgConnection, caller: &Caller, id: Uuid) -> Result<Json<Reply>, Problem> {
    Ok(Json(replies::find(connection, caller, id).await?.into()))
}
