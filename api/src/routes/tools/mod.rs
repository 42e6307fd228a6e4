//! The AI tools.

pub mod catalog;
pub mod messages;
pub mod replies;
pub mod stream;
pub mod transfer;

use cairn_core::tools::Tool;
use poem_openapi::Enum;

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
