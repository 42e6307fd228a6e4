//! Figures of the AI tools by day.

use cairn_core::stats::daily as days;
use cairn_core::tools::daily::{self, End, ToolDay};
use poem_openapi::param::Query;
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};

use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::params::Date;
use crate::routes::admin::stats::daily::{TimeZone, period};
use crate::routes::tools::ToolType;
use crate::view::view;
use crate::{App, Problem};

/// Figures of the AI tools by day.
pub struct DailyToolsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[];

/// How many days an answer has at most. Times have no sums, so they are computed from every attempt of the period.
const MAX_DAYS: u64 = 92;

view! {
    /// How many attempts at replies ended in one way.
    pub struct AttemptEnd from End {
        /// `completed`, `open` for those that have not ended, or the code of a reason.
        end: String,
        /// The number of attempts.
        attempts: i64,
    }
}

/// What happened with the questions that were asked of a tool on a day.
#[derive(Clone, Debug, Object)]
pub struct DailyToolStats {
    /// The day on which the questions were asked, in the time zone that was asked for.
    pub date: Date,
    /// The tool.
    pub tool_type: ToolType,
    /// The number of questions.
    pub questions: i64,
    /// How the attempts at replies ended, the most frequent first.
    pub ends: Vec<AttemptEnd>,
    /// The number of attempts whose tokens are estimated, because the provider did not say them.
    pub estimated_attempts: i64,
    /// The tokens of all requests.
    pub prompt_tokens: i64,
    /// The tokens of all answers, with those of thoughts.
    pub completion_tokens: i64,
    /// The tokens of thoughts, as far as providers say.
    pub thinking_tokens: i64,
    /// The cost, in millionths of the currency in which prices are configured; 0 if none are.
    pub cost_micros: i64,
    /// The median time from the start of an attempt to its first text, in milliseconds; null if there was none.
    pub first_token_ms_p50: Option<f64>,
    /// The 95th percentile of the time to the first text, in milliseconds; null if there was none.
    pub first_token_ms_p95: Option<f64>,
    /// The number of replies that are rated as helpful.
    pub thumbs_up: i64,
    /// The number of replies that are rated as not helpful.
    pub thumbs_down: i64,
    /// The number of questions for which the platform has no content.
    pub unanswered: i64,
}

impl From<ToolDay> for DailyToolStats {
    fn from(day: ToolDay) -> Self {
        Self {
            date: Date(day.date),
            tool_type: day.tool.into(),
            questions: day.questions,
            ends: day.ends.into_iter().map(Into::into).collect(),
            estimated_attempts: day.estimated_attempts,
            prompt_tokens: day.prompt_tokens,
            completion_tokens: day.completion_tokens,
            thinking_tokens: day.thinking_tokens,
            cost_micros: day.cost_micros,
            first_token_ms_p50: day.first_token_ms_p50,
            first_token_ms_p95: day.first_token_ms_p95,
            thumbs_up: day.thumbs_up,
            thumbs_down: day.thumbs_down,
            unanswered: day.unanswered,
        }
    }
}

/// Figures of the tools by day.
#[derive(Clone, Debug, Object)]
pub struct DailyToolSeries {
    /// The time zone in which days begin and end.
    pub time_zone: String,
    /// The first day.
    pub from: Date,
    /// The last day.
    pub to: Date,
    /// One row for each day and tool, in order. Days on which a tool was not asked are left out.
    pub days: Vec<DailyToolStats>,
}

#[OpenApi]
impl DailyToolsApi {
    /// Get the figures of the tools by day
    ///
    /// For up to 92 days in any time zone: how attempts ended, tokens, cost, times and ratings, of the questions that were asked
    /// on each day.
    #[oai(path = "/admin/tools/daily", method = "get", operation_id = "getDailyToolStats", tag = Tag::ToolsAdmin)]
    async fn get_daily_tool_stats(
        &self,
        _caller: Admin,
        /// The first day; 29 days before the last one unless given.
        from: Query<Option<Date>>,
        /// The last day, which is included; today unless given.
        to: Query<Option<Date>>,
        /// The time zone in which days begin and end, as the IANA database names it.
        time_zone: Query<TimeZone>,
        /// Only this tool.
        tool_type: Query<Option<ToolType>>,
    ) -> Result<Json<DailyToolSeries>, Problem> {
        let TimeZone(time_zone) = time_zone.0;
        let mut connection = self.app.connection().await?;
        let today = days::today(&mut connection, &time_zone).await?;
        let (first, last) = period(from.0, to.0, today, MAX_DAYS)?;
        let tool = tool_type.0.map(Into::into);
        let rows = daily::list(&mut connection, &time_zone, first, last, tool).await?;
        let days = rows.into_iter().map(Into::into).collect();
        Ok(Json(DailyToolSeries { time_zone, from: Date(first), to: Date(last), days }))
    }
}
