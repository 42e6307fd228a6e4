//! Figures of the tools by day, in any time zone.

use chrono::NaiveDate;
use sqlx::PgConnection;
use sqlx::types::Json;

use super::Tool;
use crate::Result;

/// What happened with the questions that were asked of one tool on one day.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolDay {
    /// The day.
    pub date: NaiveDate,
    /// The tool.
    pub tool: Tool,
    /// The number of questions.
    pub questions: i64,
    /// How the attempts at replies ended.
    pub ends: Vec<End>,
    /// The number of attempts whose tokens are estimated, because the provider did not say them.
    pub estimated_attempts: i64,
    /// Tokens of all requests.
    pub prompt_tokens: i64,
    /// Tokens of all answers, with those of thoughts.
    pub completion_tokens: i64,
    /// Tokens of thoughts, as far as providers say.
    pub thinking_tokens: i64,
    /// The cost in millionths of the operator's currency; 0 where no price is configured.
    pub cost_micros: i64,
    /// Median time from the start of an attempt to its first text, in milliseconds; `None` if no text arrived.
    pub first_token_ms_p50: Option<f64>,
    /// 95th percentile of the same time.
    pub first_token_ms_p95: Option<f64>,
    /// How many replies are rated as helpful.
    pub thumbs_up: i64,
    /// How many replies are rated as not helpful.
    pub thumbs_down: i64,
    /// For how many questions the platform has no content.
    pub unanswered: i64,
}

/// How many attempts ended in one way.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct End {
    /// `completed`, `open`, or the code of a [`super::Reason`].
    pub end: String,
    /// The number of attempts.
    pub attempts: i64,
}

/// The figures of each tool for each day from `first` to `last`, both included, by the clocks of a time zone that exists. Days on
/// which a tool was not asked are left out.
pub async fn list(
    connection: &mut PgConnection,
    time_zone: &str,
    first: NaiveDate,
    last: NaiveDate,
    tool: Option<Tool>,
) -> Result<Vec<ToolDay>> {
    let rows = sqlx::query!(
        r#"WITH asked AS MATERIALIZED (
               SELECT r.id, (r.created_at AT TIME ZONE $3)::date AS day, c.tool_type
               FROM ai_replies r JOIN tool_chats c ON c.id = r.chat_id
               WHERE r.created_at >= $1::date::timestamp AT TIME ZONE $3
                 AND r.created_at < ($2::date + 1)::timestamp AT TIME ZONE $3
                 AND c.tool_type = coalesce($4, c.tool_type)
           ), attempt AS MATERIALIZED (
               SELECT q.day, q.tool_type, a.is_estimate, a.prompt_tokens, a.completion_tokens, a.thinking_tokens,
                   a.cost_micros, a.first_token_ms, CASE WHEN a.finished_at IS NULL THEN 'open' ELSE coalesce(a.reason, 'completed') END AS ended
               FROM asked q JOIN ai_reply_attempts a ON a.reply_id = q.id
           ), attempts AS (
               SELECT day, tool_type, count(*) FILTER (WHERE is_estimate) AS estimated,
                   sum(prompt_tokens)::bigint AS prompt_tokens, sum(completion_tokens)::bigint AS completion_tokens,
                   sum(thinking_tokens)::bigint AS thinking_tokens, sum(cost_micros)::bigint AS cost_micros,
                   percentile_cont(0.5) WITHIN GROUP (ORDER BY first_token_ms) AS p50,
                   percentile_cont(0.95) WITHIN GROUP (ORDER BY first_token_ms) AS p95
               FROM attempt GROUP BY 1, 2
           ), ends AS (
               SELECT day, tool_type, jsonb_agg(jsonb_build_object('end', ended, 'attempts', number)
                   ORDER BY number DESC, ended) AS ends
               FROM (SELECT day, tool_type, ended, count(*) AS number FROM attempt GROUP BY 1, 2, 3) e
               GROUP BY 1, 2
           ), questions AS (
               SELECT q.day, q.tool_type, count(*) AS questions, count(*) FILTER (WHERE t.thumb = 'up') AS up,
                   count(*) FILTER (WHERE t.thumb = 'down') AS down, count(n.reply_id) AS unanswered
               FROM asked q
               LEFT JOIN ai_reply_ratings t ON t.reply_id = q.id
               LEFT JOIN ai_unanswered_questions n ON n.reply_id = q.id
               GROUP BY 1, 2
           )
           SELECT q.day AS "day!", q.tool_type AS "tool!: Tool", q.questions AS "questions!",
               coalesce(e.ends, '[]') AS "ends!: Json<Vec<End>>", coalesce(a.estimated, 0) AS "estimated!",
               coalesce(a.prompt_tokens, 0) AS "prompt_tokens!", coalesce(a.completion_tokens, 0) AS "completion_tokens!",
               coalesce(a.thinking_tokens, 0) AS "thinking_tokens!", coalesce(a.cost_micros, 0) AS "cost_micros!",
               a.p50, a.p95, q.up AS "up!", q.down AS "down!", q.unanswered AS "unanswered!"
           FROM questions q
           LEFT JOIN attempts a ON a.day = q.day AND a.tool_type = q.tool_type
           LEFT JOIN ends e ON e.day = q.day AND e.tool_type = q.tool_type
           ORDER BY q.day, q.tool_type"#,
        first,
        last,
        time_zone,
        tool.map(Tool::name)
    );
    let rows = rows.fetch_all(connection).await?;
    let days = rows.into_iter().map(|row| ToolDay {
        date: row.day,
        tool: row.tool,
        questions: row.questions,
        ends: row.ends.0,
        estimated_attempts: row.estimated,
        prompt_tokens: row.prompt_tokens,
        completion_tokens: row.completion_tokens,
        thinking_tokens: row.thinking_tokens,
        cost_micros: row.cost_micros,
        first_token_ms_p50: row.p50,
        first_token_ms_p95: row.p95,
        thumbs_up: row.up,
        thumbs_down: row.down,
        unanswered: row.unanswered,
    });
    Ok(days.collect())
}
