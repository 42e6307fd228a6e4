//! A tool's messages.

use cairn_core::settings::Settings;
use cairn_core::tools::cancel;
use cairn_core::tools::messages::{self, Author};
use cairn_core::tools::questions::{self, Accepted as Asked, Question};
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Enum, Object, OpenApi};
use uuid::Uuid;

use super::ToolType;
use super::replies::ReplyState;
use crate::answers::{Accepted, NoContent};
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::params::{Body, Cursor, IdempotencyKey, IdempotentRequest, Limit, Page, PageRequest};
use crate::problem::FieldError;
use crate::time::Time;
use crate::{App, Code, Problem};

/// A tool's messages.
pub struct MessagesApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[(
    "askTool",
    &[Code::MessageTooLong, Code::ReplyOpen, Code::TooManyOpenReplies, Code::QuotaExceeded, Code::BudgetExceeded],
)];

/// Who wrote a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case", remote = "Author")]
pub enum MessageRole {
    /// You.
    User,
    /// The tool.
    Assistant,
    /// A mentor, who was asked about a reply.
    Mentor,
}

/// A message of your chat with a tool.
#[derive(Clone, Debug, Object)]
pub struct ToolMessage {
    /// Identifies the message.
    pub id: Uuid,
    /// Who wrote it.
    pub role: MessageRole,
    /// The text; Markdown in the tool's messages.
    pub content: String,
    /// Whether the text contains a block to copy, between `[ТЗ_START]` and `[ТЗ_END]`, `[SPEC_START]` and `[SPEC_END]`, or
    /// `[IDEA_START]` and `[IDEA_END]`.
    pub has_copyable_content: bool,
    /// When it was stored. Messages of a chat never have the same time.
    pub created_at: Time,
    /// Identifies the reply to this question, or the reply whose answer this is; null if there is none. A mentor's message belongs
    /// to the reply that the mentor was asked about.
    pub reply_id: Option<Uuid>,
    /// The state of that reply; null if there is none. While it is `queued` or `streaming`, the reply can be streamed. The
    /// answer of a `cancelled` reply is incomplete.
    pub reply_state: Option<ReplyState>,
}

impl From<messages::Message> for ToolMessage {
    fn from(message: messages::Message) -> Self {
        Self {
            id: message.id,
            role: message.author.into(),
            content: message.content,
            has_copyable_content: message.has_copyable_content,
            created_at: message.created_at.into(),
            reply_id: message.reply_id,
            reply_state: message.reply_state.map(Into::into),
        }
    }
}

/// A question to a tool.
#[derive(Clone, Debug, Object)]
pub struct NewQuestion {
    /// The question. Surrounding white space is removed. The maximum length is a setting of the platform (by default 8,000
    /// characters).
    #[oai(validator(min_length = 1, max_length = 100_000))]
    pub message: String,
}

/// An accepted question.
#[derive(Clone, Debug, Object)]
pub struct AcceptedQuestion {
    /// Identifies the reply, to be read until its state is final.
    pub reply_id: Uuid,
    /// The question as stored.
    pub message: ToolMessage,
    /// The state of the reply.
    pub state: ReplyState,
}

impl From<Asked> for AcceptedQuestion {
    fn from(asked: Asked) -> Self {
        Self { reply_id: asked.reply_id, message: asked.message.into(), state: ReplyState::Queued }
    }
}

#[OpenApi]
impl MessagesApi {
    /// List the messages of my chat with a tool
    ///
    /// Newest first.
    #[oai(path = "/tools/:tool_type/messages", method = "get", operation_id = "listToolMessages", tag = Tag::Tools)]
    async fn list_tool_messages(
        &self,
        caller: Member,
        /// The tool.
        tool_type: Path<ToolType>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<ToolMessage>>, Problem> {
        let page = PageRequest::new(limit.0, cursor.0);
        let mut connection = self.app.connection().await?;
        let rows = messages::list(&mut connection, &caller, tool_type.0.into(), page.after()?, page.rows()).await?;
        page.answer_within(rows, |message| message.content.len(), |last| Some((last.created_at, last.id)))
    }

    /// Ask a tool a question
    ///
    /// The answer is written in the background: stream the reply, or read it, to get the answer. One question of a chat is
    /// answered at a time.
    #[oai(path = "/tools/:tool_type/messages", method = "post", operation_id = "askTool", tag = Tag::Tools)]
    async fn ask_tool(
        &self,
        caller: Member,
        /// The tool.
        tool_type: Path<ToolType>,
        #[oai(name = "Idempotency-Key")] key: Header<Option<IdempotencyKey>>,
        body: Body<NewQuestion>,
    ) -> Result<Accepted<AcceptedQuestion>, Problem> {
        let text = body.message.trim();
        if text.is_empty() {
            return Err(Problem::invalid_field("/message", "blank", "A question is expected."));
        }
        let request = IdempotentRequest::new(&caller, "askTool", key.0, &body);
        let mut tx = self.app.begin_as(&caller).await?;
        if let Some(answer) = request.replay::<AcceptedQuestion>(&mut tx).await? {
            return Ok(accepted(answer));
        }
        let settings = self.app.settings(&mut tx).await?;
        check_length(&settings, text, "/message")?;
        let question = Question { tool: tool_type.0.into(), text, transferred_from: None };
        let asked = questions::ask(&mut tx, &settings, &question).await?;
        let answer = AcceptedQuestion::from(asked);
        request.store(&mut tx, &answer).await?;
        tx.commit().await?;
        Ok(accepted(answer))
    }

    /// Clear my chat with a tool
    ///
    /// Deletes all messages permanently, cancels an open reply, and withdraws what mentors were asked. The questions still count towards the quota. Repeating
    /// the call has no effect. Asking again with an earlier `Idempotency-Key` gets the earlier answer, without the text.
    #[oai(path = "/tools/:tool_type/messages", method = "delete", operation_id = "clearTool", tag = Tag::Tools)]
    async fn clear_tool(
        &self,
        caller: Member,
        /// The tool.
        tool_type: Path<ToolType>,
    ) -> Result<NoContent, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        cancel::clear(&mut tx, tool_type.0.into()).await?;
        tx.commit().await?;
        Ok(NoContent)
    }
}

/// The response to an accepted question.
pub(super) fn accepted(question: AcceptedQuestion) -> Accepted<AcceptedQuestion> {
    Accepted::at(format!("/v1/replies/{}", question.reply_id), question)
}

/// Refuses a question that is longer than the platform allows.
pub(crate) fn check_length(settings: &Settings, text: &str, pointer: &str) -> Result<(), Problem> {
    let max = settings.max_message_chars;
    if text.chars().count() <= max {
        return Ok(());
    }
    let message = format!("At most {max} characters are allowed.");
    Err(Problem::message_too_long().with_errors(vec![FieldError::at(pointer, "too_long", message)]))
}
