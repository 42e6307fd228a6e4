//! Runs of evaluations: two versions of an instruction side by side.

use cairn_core::tools::evaluation_runs::{self as runs, Comparison, Run};
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Enum, Object, OpenApi};
use uuid::Uuid;

use crate::answers::Accepted;
use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::params::{Body, Cursor, IdempotencyKey, IdempotentRequest, Limit, Page, PageRequest};
use crate::routes::tools::ToolType;
use crate::time::{OptionalTime, Time};
use crate::view::view;
use crate::{App, Code, Problem};

/// Runs of evaluations: two versions of an instruction side by side.
pub struct EvaluationRunsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[(
    "createEvaluationRun",
    &[Code::InstructionNotFound, Code::ResourceDeleted, Code::EvaluationRunning, Code::BudgetExceeded],
)];

/// The state of a run. `completed` and `failed` are final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case", remote = "runs::RunState")]
pub enum RunState {
    /// Questions are being asked.
    Running,
    /// All questions are answered.
    Completed,
    /// The provider failed; see `reason`.
    Failed,
}

view! {
    /// A run of an evaluation: its questions, asked under two versions of the tool's instruction.
    pub struct EvaluationRun from Run {
        /// Identifies the run.
        id: Uuid,
        /// Identifies the evaluation.
        evaluation_id: Uuid,
        /// The tool.
        #[oai(rename = "tool_type")]
        tool: ToolType,
        /// The version that is tried.
        candidate_version: i32,
        /// The version that it is compared with.
        baseline_version: i32,
        /// The state.
        state: RunState,
        /// Why the provider failed, as a code; null otherwise.
        reason: Option<String>,
        /// The number of questions.
        cases: i32,
        /// The number of answers so far, of both versions.
        answers: i64,
        /// How many questions the version answers well; null until the run is completed.
        candidate_passed: Option<i32>,
        /// How many questions the version that it is compared with answers well; null until the run is completed.
        baseline_passed: Option<i32>,
        /// The tokens of all requests and answers.
        tokens: i64,
        /// The cost, in millionths of the currency in which prices are configured; 0 if none are.
        cost_micros: i64,
        /// Identifies the admin who began it; null if their account no longer exists.
        created_by: Option<Uuid>,
        /// When it began.
        created_at: Time,
        /// When it reached its final state; null until then.
        finished_at: OptionalTime,
    }
}

view! {
    /// The answers of both versions to one question.
    pub struct EvaluationComparison from Comparison {
        /// The number of the question, from 1.
        number: i32,
        /// The question.
        question: String,
        /// The answer of the version that is tried; null until there is one.
        candidate_answer: Option<String>,
        /// Whether it is good; null until there is one, and if the provider failed.
        is_candidate_passed: Option<bool>,
        /// The answer of the version that it is compared with; null until there is one.
        baseline_answer: Option<String>,
        /// Whether it is good; null until there is one, and if the provider failed.
        is_baseline_passed: Option<bool>,
    }
}

/// The versions to compare.
#[derive(Clone, Debug, Object)]
pub struct NewEvaluationRun {
    /// The version that is tried.
    #[oai(validator(minimum(value = "1"), maximum(value = "2147483647")))]
    pub candidate_version: i32,
    /// The version that it is compared with; the active one unless given.
    #[oai(validator(minimum(value = "1"), maximum(value = "2147483647")))]
    pub baseline_version: Option<i32>,
}

#[OpenApi]
impl EvaluationRunsApi {
    /// Create a run of an evaluation
    ///
    /// Asks each of its questions under both versions, one after the other, in the background: read the run until its state is
    /// final. It finds content as for a learner. No chat, message or reply is stored. One run of an evaluation goes on at a time,
    /// and its cost counts towards the budgets of the tool and of the platform.
    #[oai(
        path = "/admin/evaluations/:evaluation_id/runs",
        method = "post",
        operation_id = "createEvaluationRun",
        tag = Tag::ToolsAdmin
    )]
    async fn create_evaluation_run(
        &self,
        caller: Admin,
        /// The evaluation.
        evaluation_id: Path<Uuid>,
        #[oai(name = "Idempotency-Key")] key: Header<Option<IdempotencyKey>>,
        body: Body<NewEvaluationRun>,
    ) -> Result<Accepted<EvaluationRun>, Problem> {
        let request = IdempotentRequest::new(&caller, "createEvaluationRun", key.0, &body);
        let mut tx = self.app.begin_as(&caller).await?;
        if let Some(answer) = request.replay::<EvaluationRun>(&mut tx).await? {
            return Ok(accepted(answer));
        }
        let settings = self.app.settings(&mut tx).await?;
        let (candidate, baseline) = (body.candidate_version, body.baseline_version);
        let run = runs::create(&mut tx, &settings, evaluation_id.0, candidate, baseline).await?;
        let answer = EvaluationRun::from(run);
        request.store(&mut tx, &answer).await?;
        tx.commit().await?;
        Ok(accepted(answer))
    }

    /// List the runs of an evaluation
    ///
    /// The latest first.
    #[oai(
        path = "/admin/evaluations/:evaluation_id/runs",
        method = "get",
        operation_id = "listEvaluationRuns",
        tag = Tag::ToolsAdmin
    )]
    async fn list_evaluation_runs(
        &self,
        _caller: Admin,
        /// The evaluation.
        evaluation_id: Path<Uuid>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<EvaluationRun>>, Problem> {
        let page = PageRequest::new(limit.0, cursor.0);
        let mut connection = self.app.connection().await?;
        cairn_core::tools::evaluations::find_any(&mut connection, evaluation_id.0).await?;
        let rows = runs::list(&mut connection, evaluation_id.0, page.after()?, page.rows()).await?;
        page.answer(rows, |last| Some(last.id))
    }

    /// Get a run of an evaluation
    #[oai(
        path = "/admin/evaluation-runs/:evaluation_run_id",
        method = "get",
        operation_id = "getEvaluationRun",
        tag = Tag::ToolsAdmin
    )]
    async fn get_evaluation_run(
        &self,
        _caller: Admin,
        /// The run.
        evaluation_run_id: Path<Uuid>,
    ) -> Result<Json<EvaluationRun>, Problem> {
        let mut connection = self.app.connection().await?;
        Ok(Json(runs::find(&mut connection, evaluation_run_id.0).await?.into()))
    }

    /// List the answers of a run of an evaluation
    ///
    /// Those of both versions side by side, in the order of the questions.
    #[oai(
        path = "/admin/evaluation-runs/:evaluation_run_id/answers",
        method = "get",
        operation_id = "listEvaluationAnswers",
        tag = Tag::ToolsAdmin
    )]
    async fn list_evaluation_answers(
        &self,
        _caller: Admin,
        /// The run.
        evaluation_run_id: Path<Uuid>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<EvaluationComparison>>, Problem> {
        let page = PageRequest::new(limit.0, cursor.0);
        let mut connection = self.app.connection().await?;
        runs::find(&mut connection, evaluation_run_id.0).await?;
        let rows = runs::comparisons(&mut connection, evaluation_run_id.0, page.after()?, page.rows()).await?;
        let size = |row: &Comparison| {
            [&row.candidate_answer, &row.baseline_answer].into_iter().flatten().map(String::len).sum::<usize>()
        };
        page.answer_within(rows, size, |last| Some(last.number))
    }
}

fn accepted(run: EvaluationRun) -> Accepted<EvaluationRun> {
    Accepted::at(format!("/v1/admin/evaluation-runs/{}", run.id), run)
}
