//! How the tools did over the last days, for admins.

use sqlx::PgConnection;

use super::{Tool, stored_tool};
use crate::Result;

/// What was asked of one tool, and what came of it. Of replies that were asked for in the period; those asked for again
/// count once.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// The tool.
    pub tool: Tool,
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
    /// Tokens of all requests.
    pub prompt_tokens: i64,
    /// Tokens of all answers.
    pub completion_tokens: i64,
    /// What the attempts cost, in millionths of the operator's currency, where prices are configured.
    pub cost_micros: i64,
    /// From the start of an attempt to its first piece of text, in milliseconds: half of them took at most so long.
    pub first_token_ms_p50: Option<f64>,
    /// The same of 95 in 100.
    pub first_token_ms_p95: Option<f64>,
    /// From the question to the complete answer, in seconds: half of them took at most so long.
    pub answer_seconds_p50: Option<f64>,
    /// The same of 95 in 100.
    pub answer_seconds_p95: Option<f64>,
}

/// How often replies failed, or attempts at them, for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failures {
    /// The tool.
    pub tool: Tool,
    /// Code of the [`super::Reason`].
    pub reason: String,
    /// Replies that failed for it.
    pub replies: i64,
    /// Attempts that ended for it, others of the same reply may have succeeded.
    pub attempts: i64,
}

/// How much was asked of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelUse {
    /// The tool.
    pub tool: Tool,
    /// The provider; none = not known.
    pub provider: Option<String>,
    /// The model; none = the provider has no models, or did not say.
    pub model: Option<String>,
    /// Attempts.
    pub attempts: i64,
    /// Tokens of requests and answers.
    pub tokens: i64,
}

/// The figures of every tool that was asked in the last `days`.
pub async fn of_tools(connection: &mut PgConnection, days: i32) -> Result<Vec<Figures>> {
    let rows = sqlx::query!(
        r#"SELECT c.tool_type,
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
    )
    .fetch_all(connection)
    .await?;
    let figures = rows.into_iter().map(|row| {
        Ok(Figures {
            tool: stored_tool(&row.tool_type)?,
            questions: row.questions,
            learners: row.learners,
            open: row.open,
            completed: row.completed,
            failed: row.failed,
            cancelled: row.cancelled,
            attempts: row.attempts,
            prompt_tokens: row.prompt_tokens,
            completion_tokens: row.completion_tokens,
            cost_micros: row.cost_micros,
            first_token_ms_p50: row.first_token_ms_p50,
            first_token_ms_p95: row.first_token_ms_p95,
            answer_seconds_p50: row.answer_seconds_p50,
            answer_seconds_p95: row.answer_seconds_p95,
        })
    });
    figures.collect()
}

/// Why replies and attempts of the last `days` failed, the most frequent first. Cancelled ones did not fail.
pub async fn of_failures(connection: &mut PgConnection, days: i32) -> Result<Vec<Failures>> {
    let rows = sqlx::query!(
        r#"SELECT tool_type AS "tool_type!", reason AS "reason!",
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
    )
    .fetch_all(connection)
    .await?;
    let failures = rows.into_iter().map(|row| {
        let tool = stored_tool(&row.tool_type)?;
        Ok(Failures { tool, reason: row.reason, replies: row.replies, attempts: row.attempts })
    });
    failures.collect()
}

/// Which models were asked in the last `days`, the most asked first.
pub async fn of_models(connection: &mut PgConnection, days: i32) -> Result<Vec<ModelUse>> {
    let rows = sqlx::query!(
        r#"SELECT c.tool_type, a.provider, a.model, count(*) AS "attempts!",
               coalesce(sum(a.prompt_tokens), 0)::bigint + coalesce(sum(a.completion_tokens), 0)::bigint AS "tokens!"
           FROM ai_replies r
           JOIN tool_chats c ON c.id = r.chat_id
           JOIN ai_reply_attempts a ON a.reply_id = r.id
           WHERE r.created_at > now() - make_interval(days => $1)
           GROUP BY 1, 2, 3 ORDER BY 4 DESC, 1, 2, 3 LIMIT 200"#,
        days
    )
    .fetch_all(connection)
    .await?;
    let models = rows.into_iter().map(|row| {
        let tool = stored_tool(&row.tool_type)?;
        Ok(ModelUse { tool, provider: row.provider, model: row.model, attempts: row.attempts, tokens: row.tokens })
    });
    models.collect()
}
