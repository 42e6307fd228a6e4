//! The AI tools.

pub mod catalog;
pub mod messages;
pub mod replies;
pub mod stream;
pub mod transfer;

use cairn_core::settings::Settings;
use cairn_core::tools::Tool;
use cairn_core::tools::questions::Accepted;
use poem_openapi::Enum;

use self::messages::AcceptedQuestion;
use crate::Problem;
use crate::problem::FieldError;

/// A tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
pub enum ToolType {
    /// Answers questions, as a mentor would.
    Assistant,
    /// Turns an idea into a technical specification.
    TzHelper,
    /// Suggests projects.
    Ideas,
}

impl From<Tool> for ToolType {
    fn from(tool: Tool) -> Self {
        match tool {
            Tool::Assistant => Self::Assistant,
            Tool::TzHelper => Self::TzHelper,
            Tool::Ideas => Self::Ideas,
        }
    }
}

impl From<ToolType> for Tool {
    fn from(tool: ToolType) -> Self {
        match tool {
            ToolType::Assistant => Self::Assistant,
            ToolType::TzHelper => Self::TzHelper,
            ToolType::Ideas => Self::Ideas,
        }
    }
}

/// Refuses a question, or what is to become one, that has more characters than the platform allows.
fn check_length(settings: &Settings, text: &str, pointer: &str) -> Result<(), Problem> {
    let max = settings.max_message_chars;
    if text.chars().count() <= max {
        return Ok(());
    }
    let message = format!("At most {max} characters are allowed.");
    Err(Problem::message_too_long().with_errors(vec![FieldError::at(pointer, "too_long", message)]))
}

fn accepted(accepted: Accepted) -> AcceptedQuestion {
    let Accepted { reply_id, message } = accepted;
    AcceptedQuestion { reply_id, message: message.into(), state: replies::ReplyState::Queued }
}
