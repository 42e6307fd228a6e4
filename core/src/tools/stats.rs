//! Statistics about the tools over the last days, for admins.

use sqlx::PgConnection;

use super::Tool;
use crate::Result;

/// Statistics about one tool. They cover the replies to questions asked in the period; a reply that was retried counts
/// once.
#[derive(Clone, Debug, PartialEq)]
pub struct Stats {
    /// The tool that was asked.
    pub tool: Tool,
    /// The number of questions.
    pub questions: i64,
    /// The number of distinct learners who asked.
    pub learners: i64,
    /// Replies that are queued or being written.
    pub open: i64,
    /// Replies that were completed.
    pub completed: i64,
    /// Replies that failed for good.
    pub failed: i64,
    /// Replies that were cancelled.
    pub cancelled: i64,
    /// Attempts at writing the replies.
    pub attempts: i64,
    /// Tokens of all requests to the provider.
    pub prompt_tokens: i64,
    /// Tokens of all answers.
    pub completion_tokens: i64,
    /// The cost of all attempts in millionths of the operator's currency; 0 where no price is configured.
    pub cost_micros: i64,
    /// Median time from the start of an attempt to its first text, in milliseconds; `None` if no text arrived.
    pub first_token_ms_p50: Option<f64>,
    /// 95th percentile of the same time.
    pub first_token_ms_p95: Option<f64>,
    /// Median time from the question to the complete answer, in seconds; `None` if no reply was completed.
    pub answer_seconds_p50: Option<f64>,
    /// 95th percentile of the same time.
    pub answer_seconds_p95: Option<f64>,
}

/// How often replies or attempts failed for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failures {
    /// The tool that was asked.
    pub tool: Tool,
    /// Code of the [`super::Reason`].
    pub reason: String,
    /// Replies that failed for this reason.
    pub replies: i64,
    /// Attempts that ended for this reason, whether or not another attempt at the same reply succeeded.
    pub attempts: i64,
}

/// How much one model was used by one tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelUse {
    /// The tool that was asked.
    pub tool: Tool,
    /// The name of the provider; `None` if it was not recorded.
    pub provider: Option<String>,
    /// The name of the model; `None` if the provider has no models or did not report one.
    pub model: Option<String>,
    /// The number of attempts.
    pub attempts: i64,
    /// Tokens of requests and answers together.
    pub tokens: i64,
}

/// The statistics of every tool that was asked in the last `days` days.
pub async fn of_tools(connection: &mut PgConnection, days: i32) -> Result<Vec<Stats>> {
    let stats = sqlx::query_as!(
        Stats,
        r#"SELECT c.tool_type AS "tool: Tool",
               count(*) AS "questions!", count(DISTINCT r.user_id) AS "learners!",
               count(*) FILTER (WHERE r.state IN ('queued', 'streaming')) AS "open!",
               count(*) FILTER (WHERE r.state = 'completed') AS "completed!",
               count(*) FILTER (WHERE r.state = 'failed') AS "failed!",
               count(*) FILTER (WHERE r.state = 'cancelled') AS "cancelled!",
               coalesce(sum(a.attempts), 0)::bigint AS "attempts!",
               coalesce(sum(a.prompt_tokens), 0)::bigint AS "prompt_tokens!",
               coalesce(sum(a.completion_tokens), 0)::bigint AS "completion_tokens!",
               coalesce(sum(a.cost_micros), 0)::bigint AS "cost_micros!",
               percentile_cont(0.5) WITHIN GROUP (ORDER BY a.first_token_ms) AS first_token_ms_p50,
               percentile_cont(0.95) WITHIN GROUP (ORDER BY a.first_token_ms) AS first_token_ms_p95,
               percentile_cont(0.5) WITHIN GROUP (ORDER BY a.seconds) AS answer_seconds_p50,
               percentile_cont(0.95) WITHIN GROUP (ORDER BY a.seconds) AS answer_seconds_p95
           FROM ai_replies r
           JOIN tool_chats c ON c.id = r.chat_id
           CROSS JOIN LATERAL (
               SELECT count(*) AS attempts, sum(a.prompt_tokens) AS prompt_tokens,
                   sum(a.completion_tokens) AS completion_tokens, sum(a.cost_micros) AS cost_micros,
                   min(a.first_token_ms)::float8 AS first_token_ms,
                   CASE WHEN r.state = 'completed' THEN extract(epoch FROM r.finished_at - r.queued_at)::float8 END
                       AS seconds
               FROM ai_reply_attempts a WHERE a.reply_id = r.id
           ) a
           WHERE r.created_at > now() - make_interval(days => $1)
           GROUP BY c.tool_type ORDER BY c.tool_type"#,
        days
    );
    Ok(stats.fetch_all(connection).await?)
}

/// Why replies and attempts of the last `days` days failed, most frequent reason first. Cancelled replies are left out.
pub async fn of_failures(connection: &mut PgConnection, days: i32) -> Result<Vec<Failures>> {
    let failures = sqlx::query_as!(
        Failures,
        r#"SELECT tool_type AS "tool!: Tool", reason AS "reason!",
               count(*) FILTER (WHERE is_reply) AS "replies!", count(*) FILTER (WHERE NOT is_reply) AS "attempts!"
           FROM (
               SELECT c.tool_type, f.reason, f.is_reply
               FROM ai_replies r
               JOIN tool_chats c ON c.id = r.chat_id
               CROSS JOIN LATERAL (
                   SELECT r.reason, true AS is_reply WHERE r.state = 'failed'
                   UNION ALL
                   SELECT a.reason, false FROM ai_reply_attempts a
                   WHERE a.reply_id = r.id AND a.reason NOT IN ('cancelled', 'cleared')
               ) f
               WHERE r.created_at > now() - make_interval(days => $1)
           ) failures
           GROUP BY 1, 2 ORDER BY 3 DESC, 4 DESC, 1, 2 LIMIT 200"#,
        days
    );
    Ok(failures.fetch_all(connection).await?)
}

/// Which models were used in the last `days` days, most used first.
pub async fn of_models(connection: &mut PgConnection, days: i32) -> Result<Vec<ModelUse>> {
    let models = sqlx::query_as!(
        ModelUse,
        r#"SELECT c.tool_type AS "tool: Tool", a.provider, a.model, count(*) AS "attempts!",
               coalesce(sum(a.prompt_tokens), 0)::bigint + coalesce(sum(a.completion_tokens), 0)::bigint AS "tokens!"
           FROM ai_replies r
           JOIN tool_chats c ON c.id = r.chat_id
           JOIN ai_reply_attempts a ON a.reply_id = r.id
           WHERE r.created_at > now() - make_interval(days => $1)
           GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3 LIMIT 200"#,
        days
    );
    Ok(models.fetch_all(connection).await?)
}
