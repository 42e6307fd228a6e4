//! Attempts at answering the questions of runs of evaluations. As with try-outs, each has a number that fences what it writes.

use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::attempts::{Usage, storable};
use super::evaluations::Case;
use super::{Context, Reason, Request, Tool, context, evaluation_runs, prices};
use crate::Result;
use crate::queue::lease::Lease;

/// One attempt at answering a question of a run.
#[derive(Clone, Debug)]
pub struct EvaluationAttempt {
    run_id: Uuid,
    number: i32,
    is_candidate: bool,
    /// The number of the attempt at this answer, from 1, which is the fencing token.
    pub attempt_number: i32,
    /// Whether the run began more than a day ago.
    pub is_overdue: bool,
    case: Case,
    /// The admin who began the run; `None` if their account was deleted.
    pub created_by: Option<Uuid>,
    /// What the provider is asked.
    pub request: Request,
    /// What earlier attempts used, whose workers were lost or stopped, or to which the provider had no answer.
    earlier: Usage,
}

/// Begins the next attempt; `None` if the run has ended, has no question left, or the job is no longer held under `lease`.
pub async fn begin(
    connection: &mut PgConnection,
    run_id: Uuid,
    lease: Option<&Lease>,
) -> Result<Option<EvaluationAttempt>> {
    let row = sqlx::query!(
        r#"WITH held AS (
               SELECT FROM apalis.jobs WHERE id = $2 AND lock_by = $3 AND lock_at = $4 AND status = 'Running' FOR SHARE
           ), next AS (
               UPDATE ai_evaluation_answers SET attempt = attempt + 1
               WHERE (run_id, number, is_candidate) = (
                   SELECT a.run_id, a.number, a.is_candidate
                   FROM ai_evaluation_answers a JOIN ai_evaluation_runs r ON r.id = a.run_id AND r.state = 'running'
                   WHERE a.run_id = $1 AND a.finished_at IS NULL ORDER BY a.number, a.is_candidate LIMIT 1)
                 AND ($2::text IS NULL OR EXISTS (SELECT FROM held))
               RETURNING *
           )
           SELECT n.number, n.is_candidate, n.attempt, r.created_at < now() - interval '1 day' AS "is_overdue!", n.context AS "context?: Json<Context>", r.created_by,
               r.cases -> (n.number - 1) AS "case!: Json<Case>", i.tool_type AS "tool: Tool", i.content, i.model,
               i.temperature, i.max_tokens, n.prompt_tokens, n.completion_tokens, n.is_estimate, n.cost_micros
           FROM next n
           JOIN ai_evaluation_runs r ON r.id = $1
           JOIN ai_system_instructions i ON i.id = CASE WHEN n.is_candidate THEN r.candidate_id ELSE r.baseline_id END"#,
        run_id,
        lease.map(|lease| lease.id.as_str()),
        lease.map(|lease| lease.worker.as_str()),
        lease.map(|lease| lease.taken_at)
    );
    let Some(row) = row.fetch_optional(&mut *connection).await? else { return Ok(None) };
    let context = match row.context {
        Some(context) => context.0,
        None => gather(connection, run_id, row.number, row.created_by, &row.case.0.question).await?,
    };
    Ok(Some(EvaluationAttempt {
        run_id,
        number: row.number,
        is_candidate: row.is_candidate,
        attempt_number: row.attempt,
        is_overdue: row.is_overdue,
        created_by: row.created_by,
        request: Request {
            tool: row.tool,
            question: row.case.0.question.clone(),
            context,
            instruction: row.content,
            model: row.model,
            temperature: row.temperature,
            max_tokens: row.max_tokens,
        },
        earlier: Usage {
            prompt_tokens: row.prompt_tokens,
            completion_tokens: row.completion_tokens,
            is_estimate: row.is_estimate,
            cost_micros: row.cost_micros,
            ..Usage::default()
        },
        case: row.case.0,
    }))
}

/// Gathers the context of a question, for both versions: a run compares instructions, so they are given the same. Neither is told who
/// a learner is.
async fn gather(
    connection: &mut PgConnection,
    run_id: Uuid,
    number: i32,
    created_by: Option<Uuid>,
    question: &str,
) -> Result<Context> {
    let context = context::gather(&mut *connection, created_by.unwrap_or_default(), question, false).await?;
    sqlx::query!(
        "UPDATE ai_evaluation_answers SET context = $3 WHERE run_id = $1 AND number = $2 AND context IS NULL",
        run_id,
        number,
        Json(&context) as _
    )
    .execute(connection)
    .await?;
    Ok(context)
}

/// Stores the context of an attempt for both versions, in place of that which was gathered for the question. Returns `false` if the
/// attempt may no longer write, and must not ask.
pub async fn use_context(connection: &mut PgConnection, attempt: &EvaluationAttempt) -> Result<bool> {
    let stored = sqlx::query!(
        "UPDATE ai_evaluation_answers SET context = $5 WHERE run_id = $1 AND number = $2 AND EXISTS (
             SELECT FROM ai_evaluation_answers
             WHERE run_id = $1 AND number = $2 AND is_candidate = $3 AND attempt = $4 AND finished_at IS NULL)",
        attempt.run_id,
        attempt.number,
        attempt.is_candidate,
        attempt.attempt_number,
        Json(&attempt.request.context) as _
    );
    Ok(stored.execute(connection).await?.rows_affected() > 0)
}

/// Whether an attempt may still write. If not, it should stop.
pub async fn may_write(connection: &mut PgConnection, attempt: &EvaluationAttempt) -> Result<bool> {
    let may = sqlx::query_scalar!(
        r#"SELECT EXISTS (
               SELECT FROM ai_evaluation_answers a JOIN ai_evaluation_runs r ON r.id = a.run_id
               WHERE a.run_id = $1 AND a.number = $2 AND a.is_candidate = $3 AND a.attempt = $4
                 AND a.finished_at IS NULL AND r.state = 'running') AS "may!""#,
        attempt.run_id,
        attempt.number,
        attempt.is_candidate,
        attempt.attempt_number
    );
    Ok(may.fetch_one(connection).await?)
}

/// Records that an attempt asks the provider: if its worker is lost from now on, it has perhaps been billed. The tokens are
/// estimated. Returns `false` if the attempt may no longer write, and must not ask.
pub async fn asking(connection: &mut PgConnection, attempt: &EvaluationAttempt, prompt_tokens: i32) -> Result<bool> {
    let cost_micros = prices::cost(connection, &attempt.request, prompt_tokens).await?;
    let asked = Usage { prompt_tokens: Some(prompt_tokens), is_estimate: true, cost_micros, ..Usage::default() };
    record(connection, attempt, &asked).await
}

/// Records what an attempt has used, though another one follows. Returns `false` if it may no longer write.
pub async fn record(connection: &mut PgConnection, attempt: &EvaluationAttempt, usage: &Usage) -> Result<bool> {
    let used = usage.with(&attempt.earlier);
    let record = sqlx::query!(
        "UPDATE ai_evaluation_answers
         SET prompt_tokens = $5, completion_tokens = $6, is_estimate = $7, cost_micros = $8
         WHERE run_id = $1 AND number = $2 AND is_candidate = $3 AND attempt = $4 AND finished_at IS NULL",
        attempt.run_id,
        attempt.number,
        attempt.is_candidate,
        attempt.attempt_number,
        used.prompt_tokens,
        used.completion_tokens,
        used.is_estimate,
        used.cost_micros
    );
    Ok(record.execute(connection).await?.rows_affected() == 1)
}

/// Stores an answer, and what it used. If the provider has failed, the run has. Writes nothing and returns `false` if the attempt may
/// no longer write.
pub async fn finish(
    connection: &mut PgConnection,
    attempt: &EvaluationAttempt,
    text: &str,
    failed: Option<Reason>,
    usage: &Usage,
) -> Result<bool> {
    let (text, usage) = (storable(text), usage.with(&attempt.earlier));
    let finished = sqlx::query!(
        "UPDATE ai_evaluation_answers SET finished_at = now(), answer = $5, is_passed = $6, prompt_tokens = $7,
             completion_tokens = $8, cost_micros = $9, is_estimate = $10
         WHERE run_id = $1 AND number = $2 AND is_candidate = $3 AND attempt = $4 AND finished_at IS NULL",
        attempt.run_id,
        attempt.number,
        attempt.is_candidate,
        attempt.attempt_number,
        text,
        failed.is_none().then(|| attempt.case.is_passed_by(&text)),
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.cost_micros,
        usage.is_estimate
    )
    .execute(&mut *connection)
    .await?;
    let may = finished.rows_affected() == 1;
    if let Some(reason) = failed.filter(|_| may) {
        evaluation_runs::fail(connection, &[attempt.run_id], reason).await?;
    }
    Ok(may)
}
