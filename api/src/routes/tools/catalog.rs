//! Which tools there are.

use cairn_core::settings;
use cairn_core::tools::{self, Tool, questions};
use chrono::{DateTime, Utc};
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};

use super::ToolType;
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::{App, Problem};

/// Which tools there are.
pub struct CatalogApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[("listTools", &[])];

/// A tool you can ask.
#[derive(Clone, Debug, Object)]
pub struct ToolInfo {
    /// Its name in paths.
    pub tool_type: ToolType,
    /// What people call it.
    pub title: String,
    /// What it does.
    pub description: String,
    /// The model that it asks for; null = the platform's default.
    pub model: Option<String>,
}

/// How many questions you may ask in 24 hours, over all tools.
#[derive(Clone, Debug, Object)]
pub struct ToolQuota {
    /// At most so many.
    pub limit: i64,
    /// Asked in the last 24 hours.
    pub used: i64,
    /// When the next question comes free again; null while nothing is used.
    pub resets_at: Option<DateTime<Utc>>,
}

/// The tools, and what you may ask them.
#[derive(Clone, Debug, Object)]
#[oai(example)]
pub struct ToolList {
    /// The tools.
    pub items: Vec<ToolInfo>,
    /// Your quota.
    pub quota: ToolQuota,
}

impl Example for ToolList {
    fn example() -> Self {
        Self {
            items: Tool::ALL.iter().map(|&tool| info(tool, None)).collect(),
            quota: ToolQuota { limit: 50, used: 1, resets_at: Some(DateTime::UNIX_EPOCH) },
        }
    }
}

fn info(tool: Tool, model: Option<String>) -> ToolInfo {
    ToolInfo {
        tool_type: tool.into(),
        title: tool.title().to_owned(),
        description: tool.description().to_owned(),
        model,
    }
}

#[OpenApi]
impl CatalogApi {
    /// List the tools and my quota
    #[oai(path = "/tools", method = "get", operation_id = "listTools", tag = Tag::Tools)]
    async fn list_tools(&self, caller: Member) -> Result<Json<ToolList>, Problem> {
        let mut connection = self.app.connection().await?;
        let settings = settings::load(&mut connection).await?;
        let mut models = tools::models(&mut connection).await?;
        let quota = questions::quota(&mut connection, &caller, &settings).await?;
        Ok(Json(ToolList {
            items: Tool::ALL.iter().map(|&tool| info(tool, models.remove(&tool).flatten())).collect(),
            quota: ToolQuota { limit: quota.limit, used: quota.used, resets_at: quota.resets_at },
        }))
    }
}
