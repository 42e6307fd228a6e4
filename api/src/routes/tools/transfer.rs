//! Transfers of an idea from one tool to another.

use cairn_core::actor::Caller;
use cairn_core::tools::questions::{self, Question};
use cairn_core::tools::{Tool, copyable_block, messages};
use poem_openapi::param::{Header, Path};
use poem_openapi::{Object, OpenApi};
use sqlx::PgConnection;
use uuid::Uuid;

use super::ToolType;
use super::messages::{AcceptedQuestion, accepted, check_length};
use crate::answers::Accepted;
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::params::{Body, IdempotencyKey, IdempotentRequest};
use crate::{App, Code, Problem};

/// Transfers of an idea from one tool to another.
pub struct TransferApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[(
    "transferToTool",
    &[
        Code::MessageNotFound,
        Code::MessageTooLong,
        Code::ReplyOpen,
        Code::TooManyOpenReplies,
        Code::QuotaExceeded,
        Code::BudgetExceeded,
    ],
)];

/// The idea to transfer: either `message_id` or `text`.
#[derive(Clone, Debug, Object)]
pub struct Transfer {
    /// Identifies a message in your chat with another tool, whose first block to copy is transferred.
    pub message_id: Option<Uuid>,
    /// The text to transfer. Surrounding white space is removed. It may be as long as a question.
    #[oai(validator(min_length = 1, max_length = 100_000))]
    pub text: Option<String>,
}

#[OpenApi]
impl TransferApi {
    /// Transfer an idea to a tool
    ///
    /// Asks this tool a question with a block of another tool's answer, or with any text.
    #[oai(path = "/tools/:tool_type/transfer", method = "post", operation_id = "transferToTool", tag = Tag::Tools)]
    async fn transfer_to_tool(
        &self,
        caller: Member,
        /// The tool to transfer it to.
        tool_type: Path<ToolType>,
        #[oai(name = "Idempotency-Key")] key: Header<Option<IdempotencyKey>>,
        body: Body<Transfer>,
    ) -> Result<Accepted<AcceptedQuestion>, Problem> {
        let tool = tool_type.0.into();
        let request = IdempotentRequest::new(&caller, "transferToTool", key.0, &body);
        let mut tx = self.app.begin_as(&caller).await?;
        if let Some(answer) = request.replay::<AcceptedQuestion>(&mut tx).await? {
            return Ok(accepted(answer));
        }
        let (text, pointer) = match (body.message_id, &body.text) {
            (Some(message_id), None) => (idea_in(&mut tx, &caller, message_id, tool).await?, "/message_id"),
            (None, Some(text)) => (text.trim().to_owned(), "/text"),
            _ => {
                let message = "Either message_id or text is expected.";
                return Err(Problem::invalid_field("", "one_of", message));
            }
        };
        if text.is_empty() {
            return Err(Problem::invalid_field(pointer, "blank", "There is nothing to transfer."));
        }
        let settings = self.app.settings(&mut tx).await?;
        check_length(&settings, &text, pointer)?;
        let question = Question { tool, text: &text, transferred_from: body.message_id };
        let asked = questions::ask(&mut tx, &settings, &question).await?;
        let answer = AcceptedQuestion::from(asked);
        request.store(&mut tx, &answer).await?;
        tx.commit().await?;
        Ok(accepted(answer))
    }
}

/// The idea in a message of the caller that is in the chat of another tool.
async fn idea_in(
    connection: &mut PgConnection,
    caller: &Caller,
    message_id: Uuid,
    target: Tool,
) -> Result<String, Problem> {
    let (tool, content) = messages::find(connection, caller, message_id).await?;
    if tool == target {
        return Err(Problem::invalid_field("/message_id", "same_tool", "The message is in the chat of this tool."));
    }
    let block = copyable_block(&content)
        .ok_or_else(|| Problem::invalid_field("/message_id", "no_block", "The message has no block to copy."))?;
    Ok(block.trim().to_owned())
}
