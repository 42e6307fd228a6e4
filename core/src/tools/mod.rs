//! The AI tools: one chat per learner and tool, questions, and the replies that the worker writes.

pub mod attempts;
pub mod cancel;
pub mod chats;
mod context;
mod copyable;
pub mod instructions;
pub mod jobs;
pub mod messages;
pub mod questions;
mod reason;
pub mod replies;
pub mod retry;
pub mod stats;
pub mod stream;

use std::collections::HashMap;

use sqlx::PgConnection;

pub use self::context::{Context, Learner, Position, Source};
pub use self::copyable::{copyable_block, has_copyable_content};
pub use self::reason::Reason;
use crate::{Error, Result};

/// A tool. Stored by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tool {
    /// Answers questions, as a mentor would.
    Assistant,
    /// Turns an idea into a technical specification.
    TzHelper,
    /// Suggests projects.
    Ideas,
}

impl Tool {
    /// All tools, in the order in which they are listed.
    pub const ALL: [Self; 3] = [Self::Assistant, Self::TzHelper, Self::Ideas];

    /// The stored name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Assistant => "assistant",
            Self::TzHelper => "tz_helper",
            Self::Ideas => "ideas",
        }
    }

    /// The tool of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.name() == name)
    }

    /// What people call it.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Assistant => "Assistant",
            Self::TzHelper => "Specification helper",
            Self::Ideas => "Project ideas",
        }
    }

    /// What it does, in a sentence.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Assistant => "Answers questions about the course, and names the lessons, prompts and terms it used.",
            Self::TzHelper => "Turns an idea into a technical specification that can be copied.",
            Self::Ideas => "Suggests small web projects to build, each with its first steps.",
        }
    }
}

/// The models that the active instructions ask for. A tool without an entry has no active instruction and cannot be
/// asked; `None` is the configured default.
pub async fn models(connection: &mut PgConnection) -> Result<HashMap<Tool, Option<String>>> {
    let rows = sqlx::query!("SELECT tool_type, model FROM ai_system_instructions WHERE is_active")
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().filter_map(|row| Some((Tool::from_name(&row.tool_type)?, row.model))).collect())
}

fn stored_tool(name: &str) -> Result<Tool> {
    Tool::from_name(name).ok_or_else(|| Error::message(format!("unknown tool `{name}` in the database")))
}
