//! Try-outs: an admin asks a question under any version of a tool's instruction. Nothing of it is stored for a learner.
//!
//! ```text
//! queued ──begin──► running ──complete──► completed
//!                    │  ├──────fail─────► failed
//!                    └ begin: a later attempt, because the worker of this one was lost or stopped
//! ```
//!
//! As with replies, each attempt has a number that fences what it writes. Unlike replies, a try-out whose provider fails is
//! not tried again: the admin is waiting, and wants to know.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::attempts::{Usage, storable};
use super::budgets::{self, BudgetExceeded};
use super::jobs::AnswerTryout;
use super::{Context, Reason, Request, Tool, context, instructions, prices};
use crate::Result;
use crate::activity::{Action, Target, Verb};
use crate::clock::new_id;
use crate::db::{Tx, UserTx};
use crate::noun::Noun;
use crate::queue::lease::Lease;
use crate::queue::stored;
use crate::refusal::{NotFound, OrRefuse, Rejected};
use crate::settings::Settings;

/// How many try-outs of one admin can be unanswered at once, so that they cannot delay learners' replies.
const MAX_OPEN: i64 = 3;

/// The state of a try-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "tryout_state", rename_all = "snake_case")]
pub enum TryoutState {
    /// Waiting for a worker.
    Queued,
    /// Being answered.
    Running,
    /// Answered.
    Completed,
    /// Failed; the [`Reason`] says why.
    Failed,
}

/// A try-out.
#[derive(Clone, Debug)]
pub struct Tryout {
    /// Identifies the try-out.
    pub id: Uuid,
    /// The tool.
    pub tool: Tool,
    /// The version of the tool's instruction.
    pub instruction_version: i32,
    /// The question.
    pub question: String,
    /// The state.
    pub state: TryoutState,
    /// The answer, or the part of it that was received before it failed; `None` before the end, and if there is no text.
    pub answer: Option<String>,
    /// Whether the answer was cut off at its maximum length.
    pub is_cut: bool,
    /// Code of the [`Reason`] of a failure; `None` in other states.
    pub reason: Option<String>,
    /// What the provider said about the failure.
    pub error: Option<String>,
    /// The provider; `None` until it is asked.
    pub provider: Option<String>,
    /// The model; `None` until the end, and if the provider has none.
    pub model: Option<String>,
    /// As in [`Usage`], with what earlier attempts used, whose workers were lost or stopped.
    pub prompt_tokens: Option<i32>,
    /// As in [`Usage`].
    pub completion_tokens: Option<i32>,
    /// As in [`Usage`].
    pub thinking_tokens: Option<i32>,
    /// As in [`Usage`].
    pub is_estimate: bool,
    /// The time to the first piece of text, in milliseconds.
    pub first_token_ms: Option<i32>,
    /// As in [`Usage`].
    pub cost_micros: Option<i64>,
    /// The admin who asked.
    pub created_by: Uuid,
    /// When it was asked.
    pub created_at: DateTime<Utc>,
    /// When a worker first began with it; `None` before.
    pub started_at: Option<DateTime<Utc>>,
    /// When it reached its final state; `None` before.
    pub finished_at: Option<DateTime<Utc>>,
}

/// Why a try-out is not accepted.
#[derive(Clone, Debug, PartialEq)]
pub enum TryoutRefusal {
    /// The tool has no such version.
    NotFound(NotFound),
    /// The admin has the maximum number of try-outs that are not answered yet.
    TooManyOpen {
        /// That number.
        limit: i64,
    },
    /// A budget of the tool or of the platform is used up.
    BudgetExceeded(BudgetExceeded),
}

impl From<BudgetExceeded> for TryoutRefusal {
    fn from(exceeded: BudgetExceeded) -> Self {
        Self::BudgetExceeded(exceeded)
    }
}

impl From<NotFound> for TryoutRefusal {
    fn from(not_found: NotFound) -> Self {
        Self::NotFound(not_found)
    }
}

/// Asks a question under a version of a tool's instruction, as if it were the active one and the admin a learner.
pub async fn create(
    tx: &mut UserTx,
    settings: &Settings,
    tool: Tool,
    version: i32,
    question: &str,
) -> Result<Tryout, Rejected<TryoutRefusal>> {
    let user_id = tx.caller().user_id;
    // Concurrent try-outs of one admin wait for each other here, so that the count is exact.
    sqlx::query!("SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE", user_id).execute(&mut ***tx).await?;
    let instruction = instructions::find(tx, tool, version).await.map_err(Rejected::widen)?;
    let open = sqlx::query_scalar!(
        r#"SELECT count(*) AS "open!" FROM ai_tryouts WHERE created_by = $1 AND state IN ('queued', 'running')"#,
        user_id
    );
    if open.fetch_one(&mut ***tx).await? >= MAX_OPEN {
        return Err(Rejected::Refused(TryoutRefusal::TooManyOpen { limit: MAX_OPEN }));
    }
    let context = context::gather(tx, user_id, question, instruction.include_learner).await?;
    budgets::check(tx, settings, None, tool).await.map_err(Rejected::widen)?;
    let id = new_id();
    sqlx::query!(
        "INSERT INTO ai_tryouts (id, instruction_id, created_by, question, context) VALUES ($1, $2, $3, $4, $5)",
        id,
        instruction.id,
        user_id,
        question,
        Json(&context) as _
    )
    .execute(&mut ***tx)
    .await?;
    tx.enqueue(&AnswerTryout { tryout_id: id })?;
    let target = Target::new(Noun::Instruction, instruction.id, &instruction.title());
    let details = serde_json::json!({ "tool_type": tool.name(), "version": version, "tryout_id": id });
    tx.record(Action::new(Noun::Tryout, Verb::Created).target(Some(target)).with(details))?;
    find(tx, id).await.map_err(Rejected::widen)
}

/// Finds a try-out.
pub async fn find(connection: &mut PgConnection, id: Uuid) -> Result<Tryout, Rejected<NotFound>> {
    let tryout = sqlx::query_as!(
        Tryout,
        r#"SELECT t.id, i.tool_type AS "tool: Tool", i.version AS instruction_version, t.question,
               t.state AS "state: TryoutState", t.answer, t.is_cut, t.reason, t.error, t.provider, t.model,
               t.prompt_tokens, t.completion_tokens, t.thinking_tokens, t.is_estimate, t.first_token_ms, t.cost_micros, t.created_by, t.created_at,
               t.started_at, t.finished_at
           FROM ai_tryouts t JOIN ai_system_instructions i ON i.id = t.instruction_id
           WHERE t.id = $1"#,
        id
    );
    tryout.fetch_optional(connection).await?.or_not_found(Noun::Tryout)
}

/// One attempt at answering a try-out.
#[derive(Clone, Debug)]
pub struct TryoutAttempt {
    /// The id of the try-out.
    pub tryout_id: Uuid,
    /// The number of the attempt, from 1, which is the fencing token.
    pub number: i32,
    /// The admin who asked.
    pub created_by: Uuid,
    /// What the provider is asked.
    pub request: Request,
    /// What earlier attempts used.
    earlier: Usage,
}

/// Begins an attempt; `None` if the try-out has ended or was removed, or the job is no longer held under `lease`. An earlier
/// attempt may no longer write.
pub async fn begin(
    connection: &mut PgConnection,
    id: Uuid,
    provider: &str,
    lease: Option<&Lease>,
) -> Result<Option<TryoutAttempt>> {
    let row = sqlx::query!(
        r#"WITH held AS (
               SELECT FROM apalis.jobs WHERE id = $3 AND lock_by = $4 AND lock_at = $5 AND status = 'Running' FOR SHARE
           ), tryout AS (
               UPDATE ai_tryouts SET state = 'running', attempt = attempt + 1, provider = $2,
                   started_at = coalesce(started_at, now())
               WHERE id = $1 AND state IN ('queued', 'running') AND ($3::text IS NULL OR EXISTS (SELECT FROM held))
               RETURNING *
           )
           SELECT t.attempt, t.created_by, t.question, t.context AS "context: Json<Context>", i.tool_type AS "tool: Tool", i.content,
               i.model, i.temperature, i.max_tokens, t.prompt_tokens, t.completion_tokens, t.thinking_tokens, t.is_estimate,
               t.cost_micros
           FROM tryout t JOIN ai_system_instructions i ON i.id = t.instruction_id"#,
        id,
        provider,
        lease.map(|lease| lease.id.as_str()),
        lease.map(|lease| lease.worker.as_str()),
        lease.map(|lease| lease.taken_at)
    );
    let row = row.fetch_optional(connection).await?;
    Ok(row.map(|row| TryoutAttempt {
        tryout_id: id,
        number: row.attempt,
        created_by: row.created_by,
        request: Request {
            tool: row.tool,
            question: row.question,
            context: row.context.0,
            instruction: row.content,
            model: row.model,
            temperature: row.temperature,
            max_tokens: row.max_tokens,
        },
        earlier: Usage {
            prompt_tokens: row.prompt_tokens,
            completion_tokens: row.completion_tokens,
            thinking_tokens: row.thinking_tokens,
            is_estimate: row.is_estimate,
            cost_micros: row.cost_micros,
            ..Usage::default()
        },
    }))
}

/// Whether an attempt may still write. If not, it should stop.
pub async fn may_write(connection: &mut PgConnection, attempt: &TryoutAttempt) -> Result<bool> {
    let may = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM ai_tryouts WHERE id = $1 AND attempt = $2 AND state = 'running') AS "may!""#,
        attempt.tryout_id,
        attempt.number
    );
    Ok(may.fetch_one(connection).await?)
}

/// Records that an attempt asks the provider: if its worker is lost from now on, it has perhaps been billed. The tokens are
/// estimated. Returns `false` if the attempt may no longer write, and must not ask.
pub async fn asking(connection: &mut PgConnection, attempt: &TryoutAttempt, prompt_tokens: i32) -> Result<bool> {
    let cost_micros = prices::cost(connection, &attempt.request, prompt_tokens).await?;
    let asked = Usage { prompt_tokens: Some(prompt_tokens), is_estimate: true, cost_micros, ..Usage::default() };
    record(connection, attempt, &asked).await
}

/// Records what an attempt has used, though another one follows. Returns `false` if it may no longer write.
pub async fn record(connection: &mut PgConnection, attempt: &TryoutAttempt, usage: &Usage) -> Result<bool> {
    let used = usage.with(&attempt.earlier);
    let record = sqlx::query!(
        "UPDATE ai_tryouts SET prompt_tokens = $3, completion_tokens = $4, thinking_tokens = $5, is_estimate = $6, cost_micros = $7
         WHERE id = $1 AND attempt = $2 AND state = 'running'",
        attempt.tryout_id,
        attempt.number,
        used.prompt_tokens,
        used.completion_tokens,
        used.thinking_tokens,
        used.is_estimate,
        used.cost_micros
    );
    Ok(record.execute(connection).await?.rows_affected() == 1)
}

/// Ends a try-out with the text that was received and what it used: it is completed, or failed if `failed` says why, with
/// details for admins. Writes nothing if the attempt may no longer write.
pub async fn finish(
    connection: &mut PgConnection,
    attempt: &TryoutAttempt,
    text: &str,
    failed: Option<(Reason, &str)>,
    usage: &Usage,
) -> Result<()> {
    let (text, usage) = (storable(text), usage.with(&attempt.earlier));
    sqlx::query!(
        "UPDATE ai_tryouts
         SET state = CASE WHEN $4::text IS NULL THEN 'completed' ELSE 'failed' END::tryout_state, finished_at = now(),
             answer = $3, reason = $4, error = left($5, 2000), model = $6, prompt_tokens = $7, completion_tokens = $8,
             first_token_ms = $9, is_cut = $10, cost_micros = $11, thinking_tokens = $12, is_estimate = $13
         WHERE id = $1 AND attempt = $2 AND state = 'running'",
        attempt.tryout_id,
        attempt.number,
        Some(text).filter(|text| failed.is_none() || !text.is_empty()),
        failed.map(|(reason, _)| reason.code()),
        failed.map(|(_, detail)| storable(detail)).filter(|detail| !detail.is_empty()),
        usage.model,
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.first_token_ms(),
        usage.is_cut,
        usage.cost_micros,
        usage.thinking_tokens,
        usage.is_estimate
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Fails try-outs whose job is dead, and enqueues a job for those that have none (it was removed by hand).
pub async fn requeue_waiting(tx: &mut Tx) -> Result<()> {
    let jobs = stored::<AnswerTryout>(tx).await?;
    let live: HashSet<Uuid> = jobs.live.iter().map(|job| job.tryout_id).collect();
    let dead: Vec<Uuid> = jobs.dead.iter().map(|job| job.tryout_id).filter(|id| !live.contains(id)).collect();
    sqlx::query!(
        "UPDATE ai_tryouts SET state = 'failed', reason = $2, finished_at = now()
         WHERE id = ANY ($1) AND state IN ('queued', 'running')",
        &dead,
        Reason::AttemptsExhausted.code()
    )
    .execute(&mut **tx)
    .await?;
    let live: Vec<Uuid> = live.into_iter().collect();
    let jobless = sqlx::query_scalar!(
        "SELECT id FROM ai_tryouts
         WHERE state IN ('queued', 'running') AND created_at NOT BETWEEN now() - interval '1 minute' AND now() + interval '1 minute' AND id <> ALL ($1)
         ORDER BY created_at LIMIT 100",
        &live
    );
    for tryout_id in jobless.fetch_all(&mut **tx).await? {
        tx.enqueue(&AnswerTryout { tryout_id })?;
    }
    Ok(())
}
