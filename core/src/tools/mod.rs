//! The AI tools: each learner has one chat with each tool, asks questions in it, and the worker writes the replies.

pub mod adjustments;
pub mod attempts;
pub mod budgets;
pub mod cancel;
pub mod chats;
mod citations;
mod context;
mod copyable;
pub mod daily;
pub mod evaluation_attempts;
pub mod evaluation_runs;
pub mod evaluations;
pub mod instructions;
pub mod jobs;
pub mod mentor_questions;
pub mod messages;
pub mod prices;
pub mod questions;
pub mod ratings;
mod reason;
pub mod replies;
mod request;
pub mod retry;
pub mod sources;
pub mod stats;
pub mod stream;
pub mod tryouts;
pub mod unanswered;

use std::collections::HashMap;

use sqlx::PgConnection;

pub use self::citations::Citations;
pub use self::context::{Context, Learner, Position};
pub use self::copyable::{copyable_block, has_copyable_content};
pub use self::reason::Reason;
pub use self::request::Request;
pub use self::sources::Source;
use crate::{Error, Result};

/// An AI tool. It is stored as its name, in columns of the type varchar.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    serde::Serialize,
    strum::EnumString,
    strum::IntoStaticStr,
    strum::VariantArray,
    sqlx::Type,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[sqlx(type_name = "varchar", rename_all = "snake_case")]
pub enum Tool {
    /// Answers questions the way a mentor would.
    #[default]
    Assistant,
    /// Turns an idea into a technical specification.
    TzHelper,
    /// Suggests projects.
    Ideas,
}

impl Tool {
    /// All tools, in the order in which they are listed.
    pub const ALL: &[Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The stored name.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The name that people see.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Assistant => "Assistant",
            Self::TzHelper => "Specification helper",
            Self::Ideas => "Project ideas",
        }
    }

    /// One sentence that says what the tool does.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Assistant => "Answers questions about the course, and names the lessons, prompts and terms it used.",
            Self::TzHelper => "Turns an idea into a technical specification that can be copied.",
            Self::Ideas => "Suggests small web projects to build, each with its first steps.",
        }
    }
}

/// The models that the active instructions ask for; `None` stands for the configured default. A tool without an entry has
/// no active instruction and cannot be asked.
pub async fn models(connection: &mut PgConnection) -> Result<HashMap<Tool, Option<String>>> {
    let rows = sqlx::query!(r#"SELECT tool_type AS "tool: Tool", model FROM ai_system_instructions WHERE is_active"#)
        .fetch_all(connection)
        .await?;
    Ok(rows.into_iter().map(|row| (row.tool, row.model)).collect())
}

fn stored_tool(name: &str) -> Result<Tool> {
    name.parse().map_err(|_| Error::message(format!("unknown tool `{name}` in the database")))
}
