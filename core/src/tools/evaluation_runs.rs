//! Runs of evaluations: each question is asked under two versions of the instruction, side by side.
//!
//! ```text
//! running ──all questions are answered──► completed
//!    └────────the provider fails────────► failed
//! ```
//!
//! A job asks one question at a time, so learners do not wait for runs. The answers are written by
//! [attempts](super::evaluation_attempts).

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::budgets::{self, BudgetExceeded};
use super::evaluations;
use super::jobs::RunEvaluation;
use super::{Reason, Tool, instructions};
use crate::Result;
use crate::activity::{Action, Verb};
use crate::clock::new_id;
use crate::db::{Tx, UserTx};
use crate::noun::Noun;
use crate::queue::stored;
use crate::refusal::{NotFound, OnConstraint, OrRefuse, Rejected};
use crate::settings::Settings;

/// The state of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "evaluation_state", rename_all = "snake_case")]
pub enum RunState {
    /// Questions are being asked.
    Running,
    /// All questions are answered.
    Completed,
    /// The provider failed; the [`Reason`] says how.
    Failed,
}

/// A run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Identifies the run.
    pub id: Uuid,
    /// The evaluation.
    pub evaluation_id: Uuid,
    /// The tool.
    pub tool: Tool,
    /// The version that is tried.
    pub candidate_version: i32,
    /// The version that it is compared with.
    pub baseline_version: i32,
    /// The state.
    pub state: RunState,
    /// Code of the [`Reason`] of a failure; `None` in other states.
    pub reason: Option<String>,
    /// The number of questions.
    pub cases: i32,
    /// How many answers of both versions there are.
    pub answers: i64,
    /// How many questions the version answers well; `None` until the run is completed.
    pub candidate_passed: Option<i32>,
    /// The same of the version that it is compared with.
    pub baseline_passed: Option<i32>,
    /// Tokens of all requests and answers.
    pub tokens: i64,
    /// The cost in millionths of the operator's currency; 0 where no price is configured.
    pub cost_micros: i64,
    /// The admin who began it; `None` if their account no longer exists.
    pub created_by: Option<Uuid>,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it ended; `None` before.
    pub finished_at: Option<DateTime<Utc>>,
}

/// The answers of both versions to one question.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The number of the question, from 1.
    pub number: i32,
    /// The question.
    pub question: String,
    /// The answer of the version that is tried; `None` until there is one.
    pub candidate_answer: Option<String>,
    /// Whether it is good; `None` until there is one.
    pub is_candidate_passed: Option<bool>,
    /// The answer of the version that it is compared with.
    pub baseline_answer: Option<String>,
    /// Whether that is good.
    pub is_baseline_passed: Option<bool>,
}

/// Why a run does not begin.
#[derive(Clone, Debug, PartialEq)]
pub enum RunRefusal {
    /// There is no such evaluation or version.
    NotFound(NotFound),
    /// The evaluation is deleted.
    Deleted,
    /// A run of the evaluation has not ended.
    Open,
    /// A budget of the tool or of the platform is used up.
    BudgetExceeded(BudgetExceeded),
}

impl From<NotFound> for RunRefusal {
    fn from(not_found: NotFound) -> Self {
        Self::NotFound(not_found)
    }
}

impl From<BudgetExceeded> for RunRefusal {
    fn from(exceeded: BudgetExceeded) -> Self {
        Self::BudgetExceeded(exceeded)
    }
}

/// Selects runs from `$from`, which provides the rows `r` of `ai_evaluation_runs`.
macro_rules! select_runs {
    ($from:literal $(, $argument:expr)* $(,)?) => {
        sqlx::query_as!(
            Run,
            r#"SELECT r.id, r.evaluation_id, i.tool_type AS "tool: Tool", i.version AS candidate_version,
                   b.version AS baseline_version, r.state AS "state: RunState", r.reason,
                   jsonb_array_length(r.cases) AS "cases!", a.answers AS "answers!", r.candidate_passed, r.baseline_passed,
                   a.tokens AS "tokens!", a.cost_micros AS "cost_micros!", r.created_by, r.created_at, r.finished_at
               FROM ai_evaluation_runs r
               JOIN ai_system_instructions i ON i.id = r.candidate_id
               JOIN ai_system_instructions b ON b.id = r.baseline_id
               CROSS JOIN LATERAL (
                   SELECT count(a.finished_at) AS answers,
                       coalesce(sum(coalesce(a.prompt_tokens, 0)::bigint + coalesce(a.completion_tokens, 0)), 0)::bigint AS tokens,
                       coalesce(sum(a.cost_micros), 0)::bigint AS cost_micros
                   FROM ai_evaluation_answers a WHERE a.run_id = r.id
               ) a
               WHERE "# + $from,
            $($argument),*
        )
    };
}

/// Begins a run: asks the questions under the version `candidate`, and under `baseline`, or the active version.
pub async fn create(
    tx: &mut UserTx,
    settings: &Settings,
    evaluation_id: Uuid,
    candidate: i32,
    baseline: Option<i32>,
) -> Result<Run, Rejected<RunRefusal>> {
    let user_id = tx.caller().user_id;
    let evaluation = evaluations::find_any(tx, evaluation_id).await.map_err(Rejected::widen)?;
    if evaluation.deleted_at.is_some() {
        return Err(Rejected::Refused(RunRefusal::Deleted));
    }
    let tool = evaluation.tool_type;
    budgets::check(tx, settings, None, tool).await.map_err(Rejected::widen)?;
    let candidate = instructions::find(tx, tool, candidate).await.map_err(Rejected::widen)?;
    let baseline = if let Some(version) = baseline {
        instructions::find(tx, tool, version).await.map_err(Rejected::widen)?
    } else {
        let active = instructions::list_active(tx).await?.into_iter().find(|active| active.tool == tool);
        active.or_not_found(Noun::Instruction)?
    };
    let id = new_id();
    sqlx::query!(
        "INSERT INTO ai_evaluation_runs (id, evaluation_id, cases, candidate_id, baseline_id, created_by)
         VALUES ($1, $2, $3, $4, $5, $6)",
        id,
        evaluation_id,
        Json(&evaluation.cases) as _,
        candidate.id,
        baseline.id,
        user_id
    )
    .execute(&mut ***tx)
    .await
    .on_constraint("ai_evaluation_runs_open_key", RunRefusal::Open)?;
    sqlx::query!(
        "INSERT INTO ai_evaluation_answers (run_id, number, is_candidate)
         SELECT $1, number, is_candidate FROM generate_series(1, $2) number, unnest(ARRAY[true, false]) is_candidate",
        id,
        i32::try_from(evaluation.cases.len()).unwrap_or(i32::MAX)
    )
    .execute(&mut ***tx)
    .await?;
    tx.enqueue(&RunEvaluation { run_id: id })?;
    let details = serde_json::json!({
        "tool_type": tool.name(), "run_id": id, "candidate": candidate.version, "baseline": baseline.version,
    });
    tx.record(Action::new(Noun::Evaluation, Verb::Started).on(evaluation_id, &evaluation.name).with(details))?;
    find(tx, id).await.map_err(Rejected::widen)
}

/// Finds a run.
pub async fn find(connection: &mut PgConnection, id: Uuid) -> Result<Run, Rejected<NotFound>> {
    let run = select_runs!("r.id = $1", id);
    run.fetch_optional(connection).await?.or_not_found(Noun::EvaluationRun)
}

/// At most `limit` runs of an evaluation, the latest first, starting before the id `before`.
pub async fn list(
    connection: &mut PgConnection,
    evaluation_id: Uuid,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Run>> {
    let runs = select_runs!(
        "r.evaluation_id = $1 AND r.id < coalesce($2, 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid)
         ORDER BY r.id DESC LIMIT $3",
        evaluation_id,
        before,
        limit
    );
    Ok(runs.fetch_all(connection).await?)
}

/// At most `limit` questions of a run with the answers of both versions, in order, starting after the number `after`.
pub async fn comparisons(
    connection: &mut PgConnection,
    run_id: Uuid,
    after: Option<i32>,
    limit: i64,
) -> Result<Vec<Comparison>> {
    let comparisons = sqlx::query_as!(
        Comparison,
        r#"SELECT c.number, r.cases -> (c.number - 1) ->> 'question' AS "question!", c.answer AS candidate_answer,
               c.is_passed AS is_candidate_passed, b.answer AS baseline_answer, b.is_passed AS is_baseline_passed
           FROM ai_evaluation_runs r
           JOIN ai_evaluation_answers c ON c.run_id = r.id AND c.is_candidate
           JOIN ai_evaluation_answers b ON b.run_id = r.id AND b.number = c.number AND NOT b.is_candidate
           WHERE r.id = $1 AND c.number > coalesce($2, 0)
           ORDER BY c.number LIMIT $3"#,
        run_id,
        after,
        limit
    );
    Ok(comparisons.fetch_all(connection).await?)
}

/// Fails runs that have not ended.
pub(super) async fn fail(connection: &mut PgConnection, run_ids: &[Uuid], reason: Reason) -> Result<()> {
    sqlx::query!(
        "UPDATE ai_evaluation_runs SET state = 'failed', reason = $2, finished_at = now()
         WHERE id = ANY ($1) AND state = 'running'",
        run_ids,
        reason.code()
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Completes a run all of whose questions are answered. Otherwise nothing changes.
pub async fn complete(connection: &mut PgConnection, run_id: Uuid) -> Result<()> {
    sqlx::query!(
        "UPDATE ai_evaluation_runs r
         SET state = 'completed', finished_at = now(), candidate_passed = a.candidate, baseline_passed = a.baseline
         FROM (
             SELECT count(*) FILTER (WHERE is_passed AND is_candidate)::integer AS candidate,
                 count(*) FILTER (WHERE is_passed AND NOT is_candidate)::integer AS baseline,
                 bool_and(finished_at IS NOT NULL) AS is_done
             FROM ai_evaluation_answers WHERE run_id = $1
         ) a
         WHERE r.id = $1 AND r.state = 'running' AND a.is_done",
        run_id
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Whether a run goes on.
pub async fn is_running(connection: &mut PgConnection, run_id: Uuid) -> Result<bool> {
    let is_running = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM ai_evaluation_runs WHERE id = $1 AND state = 'running') AS "is_running!""#,
        run_id
    );
    Ok(is_running.fetch_one(connection).await?)
}

/// Fails runs whose job is dead, and enqueues a job for those that have none (it was removed by hand).
pub async fn requeue_waiting(tx: &mut Tx) -> Result<()> {
    let jobs = stored::<RunEvaluation>(tx).await?;
    let live: HashSet<Uuid> = jobs.live.iter().map(|job| job.run_id).collect();
    let dead: Vec<Uuid> = jobs.dead.iter().map(|job| job.run_id).filter(|id| !live.contains(id)).collect();
    fail(tx, &dead, Reason::AttemptsExhausted).await?;
    let live: Vec<Uuid> = live.into_iter().collect();
    let jobless = sqlx::query_scalar!(
        "SELECT id FROM ai_evaluation_runs
         WHERE state = 'running' AND created_at NOT BETWEEN now() - interval '1 minute' AND now() + interval '1 minute'
           AND id <> ALL ($1)
         ORDER BY created_at LIMIT 100",
        &live
    );
    for run_id in jobless.fetch_all(&mut **tx).await? {
        tx.enqueue(&RunEvaluation { run_id })?;
    }
    Ok(())
}
