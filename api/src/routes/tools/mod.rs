//! The AI tools.

pub mod catalog;
pub mod messages;
pub mod replies;
pub mod stream;
pub mod transfer;

use cairn_core::admin::settings::Settings;
use cairn_core::tools::Tool;
use cairn_core::tools::questions::{Accepted, Refusal};
use chrono::SecondsFormat;
use poem_openapi::payload::Json;
use poem_openapi::{ApiResponse, Enum};

use self::messages::AcceptedQuestion;
use crate::Problem;
use crate::problem::FieldError;

/// Seconds after which it makes sense to ask again while other replies are open.
const OPEN_RETRY_AFTER: u64 = 5;

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

/// The answer to a question that is accepted.
#[derive(ApiResponse)]
pub enum AskResponse {
    /// The question is stored and will be answered.
    #[oai(status = 202)]
    Accepted(Json<AcceptedQuestion>),
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::ReplyOpen => Problem::reply_open(),
            Refusal::TooManyOpen { limit } => Problem::too_many_open_replies()
                .detail(format!("At most {limit} of your questions are answered at once. Wait for an open reply."))
                .retry_after(OPEN_RETRY_AFTER),
            Refusal::QuotaUsed(quota) => {
                let next = quota.resets_at.map_or_else(String::new, |time| {
                    format!(" The next one can be asked at {}.", time.to_rfc3339_opts(SecondsFormat::Secs, true))
                });
                let seconds = quota.resets_in.as_secs() + 1;
                Problem::quota_exceeded()
                    .detail(format!("{} questions may be asked in 24 hours.{next}", quota.limit))
                    .retry_after(seconds)
            }
            // The schema installs an instruction for each tool, and activating one replaces another.
            Refusal::Unavailable => cairn_core::Error::message("a tool has no active instruction").into(),
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
