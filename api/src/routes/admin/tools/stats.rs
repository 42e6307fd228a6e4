//! How the AI tools do.

use cairn_core::tools::stats;
use poem_openapi::param::Query;
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};

use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::routes::tools::ToolType;
use crate::{App, Problem};

/// How the AI tools do.
pub struct StatsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

/// What was asked of one tool, and what came of it.
#[derive(Clone, Debug, Object)]
pub struct ToolFigures {
    /// The tool.
    pub tool_type: ToolType,
    /// Questions.
    pub questions: i64,
    /// Learners who asked.
    pub learners: i64,
    /// Replies that are queued or being written.
    pub open: i64,
    /// Replies that were completed.
    pub completed: i64,
    /// Replies that were given up.
    pub failed: i64,
    /// Replies that were stopped.
    pub cancelled: i64,
    /// Attempts at writing them.
    pub attempts: i64,
    /// Tokens of all requests, as far as the provider told.
    pub prompt_tokens: i64,
    /// Tokens of all answers.
    pub completion_tokens: i64,
    /// What the attempts cost, in millionths of the currency in which prices are configured; 0 where none are.
    pub cost_micros: i64,
    /// Milliseconds from the start of an attempt to its first piece of text: half of them took at most so long.
    pub first_token_ms_p50: Option<f64>,
    /// The same of 95 in 100.
    pub first_token_ms_p95: Option<f64>,
    /// Seconds from the question to the complete answer: half of them took at most so long.
    pub answer_seconds_p50: Option<f64>,
    /// The same of 95 in 100.
    pub answer_seconds_p95: Option<f64>,
}

impl From<stats::Stats> for ToolFigures {
    fn from(figures: stats::Stats) -> Self {
        Self {
            tool_type: figures.tool.into(),
            questions: figures.questions,
            learners: figures.learners,
            open: figures.open,
            completed: figures.completed,
            failed: figures.failed,
            cancelled: figures.cancelled,
            attempts: figures.attempts,
            prompt_tokens: figures.prompt_tokens,
            completion_tokens: figures.completion_tokens,
            cost_micros: figures.cost_micros,
            first_token_ms_p50: figures.first_token_ms_p50,
            first_token_ms_p95: figures.first_token_ms_p95,
            answer_seconds_p50: figures.answer_seconds_p50,
            answer_seconds_p95: figures.answer_seconds_p95,
        }
    }
}

/// How often something failed for one reason.
#[derive(Clone, Debug, Object)]
pub struct ToolFailures {
    /// The tool.
    pub tool_type: ToolType,
    /// The reason, for programs.
    pub reason: String,
    /// Replies that failed for it.
    pub replies: i64,
    /// Attempts that ended for it. A later attempt at the same reply may have succeeded.
    pub attempts: i64,
}

/// How much was asked of one model.
#[derive(Clone, Debug, Object)]
pub struct ModelFigures {
    /// The tool.
    pub tool_type: ToolType,
    /// The provider; null = not known.
    pub provider: Option<String>,
    /// The model; null = the provider has none, or did not say.
    pub model: Option<String>,
    /// Attempts.
    pub attempts: i64,
    /// Tokens of requests and answers.
    pub tokens: i64,
}

/// How the tools did over the last days.
#[derive(Clone, Debug, Object)]
#[oai(example)]
pub struct ToolStats {
    /// Of replies to questions of so many last days.
    pub days: i32,
    /// Each tool that was asked.
    pub tools: Vec<ToolFigures>,
    /// What failed, the most frequent first.
    pub failures: Vec<ToolFailures>,
    /// Who answered, the most asked first.
    pub models: Vec<ModelFigures>,
}

impl Example for ToolStats {
    fn example() -> Self {
        let tool_type = ToolType::Assistant;
        Self {
            days: 7,
            tools: vec![ToolFigures {
                tool_type,
                questions: 120,
                learners: 40,
                open: 1,
                completed: 115,
                failed: 2,
                cancelled: 2,
                attempts: 123,
                prompt_tokens: 96_000,
                completion_tokens: 41_000,
                cost_micros: 39_000,
                first_token_ms_p50: Some(420.0),
                first_token_ms_p95: Some(1300.0),
                answer_seconds_p50: Some(4.2),
                answer_seconds_p95: Some(11.5),
            }],
            failures: vec![ToolFailures { tool_type, reason: "rate_limited".to_owned(), replies: 1, attempts: 4 }],
            models: vec![ModelFigures {
                tool_type,
                provider: Some("api.openai.com".to_owned()),
                model: Some("gpt-4o-mini".to_owned()),
                attempts: 123,
                tokens: 137_000,
            }],
        }
    }
}

#[OpenApi]
impl StatsApi {
    /// Get how the tools did: questions, replies, tokens, failures, times
    #[oai(path = "/admin/tools/stats", method = "get", operation_id = "getToolStats", tag = Tag::ToolsAdmin)]
    async fn get_tool_stats(
        &self,
        _caller: Admin,
        /// Over so many last days; 7 unless given.
        #[oai(default = "week", validator(minimum(value = "1"), maximum(value = "90")))]
        days: Query<i32>,
    ) -> Result<Json<ToolStats>, Problem> {
        let days = days.0;
        let mut connection = self.app.connection().await?;
        let tools = stats::of_tools(&mut connection, days).await?;
        let failures = stats::of_failures(&mut connection, days).await?.into_iter().map(|failures| ToolFailures {
            tool_type: failures.tool.into(),
            reason: failures.reason,
            replies: failures.replies,
            attempts: failures.attempts,
        });
        let failures = failures.collect();
        let models = stats::of_models(&mut connection, days).await?.into_iter().map(|used| ModelFigures {
            tool_type: used.tool.into(),
            provider: used.provider,
            model: used.model,
            attempts: used.attempts,
            tokens: used.tokens,
        });
        let models = models.collect();
        Ok(Json(ToolStats { days, tools: tools.into_iter().map(ToolFigures::from).collect(), failures, models }))
    }
}

fn week() -> i32 {
    7
}
