//! The AI tools and the quota.

use cairn_core::tools::questions::{self, Quota};
use cairn_core::tools::{self, Tool};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};

use super::ToolType;
use crate::caller::Member;
use crate::operation::{Problems, Tag};
use crate::time::OptionalTime;
use crate::view::view;
use crate::{App, Problem};

/// The AI tools and the quota.
pub struct CatalogApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

/// A tool.
#[derive(Clone, Debug, Object)]
pub struct ToolInfo {
    /// The name of the tool in paths.
    pub tool_type: ToolType,
    /// The title.
    pub title: String,
    /// What the tool does.
    pub description: String,
    /// The model that the tool asks; null if it is the platform's default.
    pub model: Option<String>,
}

view! {
    /// Your quota of questions in 24 hours, over all tools.
    pub struct ToolQuota from Quota {
        /// The number of questions that you may ask.
        limit: i64,
        /// The number of questions that you asked in the last 24 hours.
        used: i64,
        /// When the next question becomes available; null if the quota is unused.
        resets_at: OptionalTime,
    }
}

/// The tools and your quota.
#[derive(Clone, Debug, Object)]
pub struct ToolList {
    /// The tools.
    pub items: Vec<ToolInfo>,
    /// Your quota.
    pub quota: ToolQuota,
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
    ///
    /// The quota counts the questions to all tools.
    #[oai(path = "/tools", method = "get", operation_id = "listTools", tag = Tag::Tools)]
    async fn list_tools(&self, caller: Member) -> Result<Json<ToolList>, Problem> {
        let mut connection = self.app.connection().await?;
        let settings = self.app.settings(&mut connection).await?;
        let mut models = tools::models(&mut connection).await?;
        let quota = questions::quota(&mut connection, &caller, &settings).await?;
        Ok(Json(ToolList {
            items: Tool::ALL.iter().map(|&tool| info(tool, models.remove(&tool).flatten())).collect(),
            quota: quota.into(),
        }))
    }
}
