//! Statistics of the AI tools.

use cairn_core::tools::stats;
use poem_openapi::param::Query;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};

use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::routes::tools::ToolType;
use crate::view::view;
use crate::{App, Problem};

/// Statistics of the AI tools.
pub struct StatsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

view! {
    /// The statistics of one tool.
    pub struct ToolStatistics from stats::Stats {
        /// The tool.
        #[oai(rename = "tool_type")]
        tool: ToolType,
        /// The number of questions.
        questions: i64,
        /// The number of learners who asked.
        learners: i64,
        /// The number of replies that are queued or being written.
        open: i64,
        /// The number of completed replies.
        completed: i64,
        /// The number of failed replies.
        failed: i64,
        /// The number of cancelled replies.
        cancelled: i64,
        /// The number of attempts at writing replies.
        attempts: i64,
        /// The tokens of all prompts, as far as the provider reported them.
        prompt_tokens: i64,
        /// The tokens of all answers, as far as the provider reported them.
        completion_tokens: i64,
        /// The cost of all attempts, in millionths of the currency in which prices are configured; 0 if none are.
        cost_micros: i64,
        /// The median time from the start of an attempt to its first text, in milliseconds; null if there was none.
        first_token_ms_p50: Option<f64>,
        /// The 95th percentile of the time to the first text, in milliseconds; null if there was none.
        first_token_ms_p95: Option<f64>,
        /// The median time from a question to its complete answer, in seconds; null if there was none.
        answer_seconds_p50: Option<f64>,
        /// The 95th percentile of the time to the complete answer, in seconds; null if there was none.
        answer_seconds_p95: Option<f64>,
    }
}

view! {
    /// The failures of a tool for one reason.
    pub struct ToolFailures from stats::Failures {
        /// The tool.
        #[oai(rename = "tool_type")]
        tool: ToolType,
        /// The reason, as a code.
        reason: String,
        /// The number of replies that failed.
        replies: i64,
        /// The number of attempts that failed. A later attempt at the same reply may have succeeded.
        attempts: i64,
    }
}

view! {
    /// The use of one model.
    pub struct ModelStatistics from stats::ModelUse {
        /// The tool.
        #[oai(rename = "tool_type")]
        tool: ToolType,
        /// The provider; null if it is not known.
        provider: Option<String>,
        /// The model; null if the provider has none, or did not report it.
        model: Option<String>,
        /// The number of attempts.
        attempts: i64,
        /// The tokens of prompts and answers.
        tokens: i64,
    }
}

/// The statistics of all tools over a number of days.
#[derive(Clone, Debug, Object)]
pub struct ToolStats {
    /// The number of days that the questions are from.
    pub days: i32,
    /// The tools that were asked.
    pub tools: Vec<ToolStatistics>,
    /// The failures, the most frequent first.
    pub failures: Vec<ToolFailures>,
    /// The models, the most used first.
    pub models: Vec<ModelStatistics>,
}

#[OpenApi]
impl StatsApi {
    /// Get the statistics of the tools
    ///
    /// Questions, replies, tokens, failures and times.
    #[oai(path = "/admin/tools/stats", method = "get", operation_id = "getToolStats", tag = Tag::ToolsAdmin)]
    async fn get_tool_stats(
        &self,
        _caller: Admin,
        /// The number of days to look back.
        #[oai(default = "week", validator(minimum(value = "1"), maximum(value = "90")))]
        days: Query<i32>,
    ) -> Result<Json<ToolStats>, Problem> {
        let days = days.0;
        let mut connection = self.app.connection().await?;
        let tools = stats::of_tools(&mut connection, days).await?;
        let failures = stats::of_failures(&mut connection, days).await?;
        let models = stats::of_models(&mut connection, days).await?;
        Ok(Json(ToolStats {
            days,
            tools: tools.into_iter().map(Into::into).collect(),
            failures: failures.into_iter().map(Into::into).collect(),
            models: models.into_iter().map(Into::into).collect(),
        }))
    }
}

fn week() -> i32 {
    7
}
