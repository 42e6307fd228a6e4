//! The AI tools.

pub mod catalog;
pub mod mentor_questions;
pub mod mentoring;
pub mod messages;
pub mod ratings;
pub mod replies;
pub mod stream;
pub mod transfer;

use cairn_core::tools::Tool;
use poem_openapi::Enum;

/// A tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case", remote = "Tool")]
pub enum ToolType {
    /// Answers questions, as a mentor would.
    Assistant,
    /// Turns an idea into a technical specification.
    TzHelper,
    /// Suggests projects.
    Ideas,
}
