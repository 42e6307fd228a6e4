//! Evaluations of instructions.

use cairn_core::clock::new_id;
use cairn_core::resource;
use cairn_core::tools::evaluations::{self, Case, Evaluation as Row};
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use uuid::Uuid;

use crate::answers::{Created, NoContent, Versioned};
use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::params::{Body, Changes, Cursor, IdempotencyKey, IfMatch, Limit, Page, PageRequest};
use crate::routes::tools::ToolType;
use crate::time::{OptionalTime, Time};
use crate::view::{fields, view};
use crate::{App, Code, Problem};

/// Evaluations of instructions.
pub struct EvaluationsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[
    ("createEvaluation", &[Code::ValueTaken]),
    ("updateEvaluation", &[Code::ValueTaken]),
    ("restoreEvaluation", &[Code::ValueTaken]),
];

const PATH: &str = "/v1/admin/evaluations";

/// A question, and what a good answer contains.
#[derive(Clone, Debug, Object)]
pub struct EvaluationCase {
    /// The question.
    #[oai(validator(min_length = 1, max_length = 2000))]
    pub question: String,
    /// What the answer must contain, whatever the case of its letters.
    #[oai(default, validator(max_items = 10, min_length = 1, max_length = 200))]
    pub contains: Vec<String>,
    /// What the answer must not contain.
    #[oai(default, validator(max_items = 10, min_length = 1, max_length = 200))]
    pub excludes: Vec<String>,
}

impl From<Case> for EvaluationCase {
    fn from(case: Case) -> Self {
        Self { question: case.question, contains: case.contains, excludes: case.excludes }
    }
}

/// A question to store, and what a good answer contains.
#[derive(Clone, Debug, Object)]
pub struct NewEvaluationCase {
    /// The question.
    #[oai(validator(min_length = 1, max_length = 2000))]
    pub question: String,
    /// What the answer must contain, whatever the case of its letters.
    #[oai(default, validator(max_items = 10, min_length = 1, max_length = 200))]
    pub contains: Vec<String>,
    /// What the answer must not contain.
    #[oai(default, validator(max_items = 10, min_length = 1, max_length = 200))]
    pub excludes: Vec<String>,
}

impl From<Case> for NewEvaluationCase {
    fn from(case: Case) -> Self {
        Self { question: case.question, contains: case.contains, excludes: case.excludes }
    }
}

impl From<NewEvaluationCase> for Case {
    fn from(case: NewEvaluationCase) -> Self {
        Self { question: case.question, contains: case.contains, excludes: case.excludes }
    }
}

view! {
    /// Stored questions to a tool, with what good answers contain.
    pub struct Evaluation from Row {
        /// Identifies the evaluation.
        id: Uuid,
        /// The tool.
        tool_type: ToolType,
        /// The name.
        name: String,
        /// Whether the versions of the tool's instruction must pass it before they are activated.
        is_attached: bool,
        /// The version, which is also its `ETag`.
        version: i64,
        /// When it was created.
        created_at: Time,
        /// When it was last changed.
        updated_at: Time,
        /// When it was deleted; null if it is not.
        deleted_at: OptionalTime,
    } with {
        /// The questions, in order.
        cases: Vec<EvaluationCase>,
    }
}

view! {
    /// An evaluation as lists show it.
    pub struct EvaluationSummary from Row {
        /// Identifies the evaluation.
        id: Uuid,
        /// The tool.
        tool_type: ToolType,
        /// The name.
        name: String,
        /// Whether the versions of the tool's instruction must pass it before they are activated.
        is_attached: bool,
        /// The version, which is also its `ETag`.
        version: i64,
        /// When it was created.
        created_at: Time,
        /// When it was last changed.
        updated_at: Time,
        /// When it was deleted; null if it is not.
        deleted_at: OptionalTime,
    }
}

fields! {
    /// An evaluation to create.
    pub struct NewEvaluation of Row {
        /// The tool.
        tool_type: ToolType,
        /// The name, which no other evaluation of the tool has.
        #[oai(validator(min_length = 1, max_length = 200))]
        name: String,
        /// Whether the versions of the tool's instruction must pass it before they are activated. If so, every question must say
        /// what its answer contains or excludes.
        #[oai(default)]
        is_attached: bool,
    } with {
        /// The questions, in order.
        #[oai(validator(min_items = 1, max_items = 50))]
        cases: Vec<NewEvaluationCase>,
    }
}

impl From<&NewEvaluation> for Row {
    fn from(new: &NewEvaluation) -> Self {
        let mut row = Self { id: new_id(), ..Self::default() };
        new.set(&mut row);
        row
    }
}

#[OpenApi]
impl EvaluationsApi {
    /// List evaluations of instructions
    ///
    /// Without their questions, the oldest first.
    #[oai(path = "/admin/evaluations", method = "get", operation_id = "listEvaluations", tag = Tag::ToolsAdmin)]
    async fn list_evaluations(
        &self,
        _caller: Admin,
        /// Only evaluations of this tool.
        tool_type: Query<Option<ToolType>>,
        /// The deleted evaluations instead of the live ones.
        #[oai(default)]
        deleted: Query<bool>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<EvaluationSummary>>, Problem> {
        let page = PageRequest::new(limit.0, cursor.0);
        let tool = tool_type.0.map(Into::into);
        let mut connection = self.app.connection().await?;
        let rows = evaluations::list(&mut connection, tool, deleted.0, page.after()?, page.rows()).await?;
        page.answer(rows, |last| Some(last.id))
    }

    /// Create an evaluation of instructions
    ///
    /// `createEvaluationRun` asks its questions under two versions. An answer is good if it contains what it must, and nothing that it
    /// must not.
    #[oai(path = "/admin/evaluations", method = "post", operation_id = "createEvaluation", tag = Tag::ToolsAdmin)]
    async fn create_evaluation(
        &self,
        caller: Admin,
        #[oai(name = "Idempotency-Key")] key: Header<Option<IdempotencyKey>>,
        body: Body<NewEvaluation>,
    ) -> Result<Created<Evaluation>, Problem> {
        self.app.create::<Row, _, _>(&caller, (PATH, "createEvaluation"), key.0, &body).await
    }

    /// Get an evaluation of instructions
    #[oai(
        path = "/admin/evaluations/:evaluation_id",
        method = "get",
        operation_id = "getEvaluation",
        tag = Tag::ToolsAdmin
    )]
    async fn get_evaluation(
        &self,
        _caller: Admin,
        /// The evaluation.
        evaluation_id: Path<Uuid>,
    ) -> Result<Versioned<Evaluation>, Problem> {
        let mut connection = self.app.connection().await?;
        Ok(Versioned(evaluations::find_any(&mut connection, evaluation_id.0).await?.into()))
    }

    /// Update an evaluation of instructions
    ///
    /// Earlier runs keep their questions, and say nothing about the new ones: an attached evaluation whose questions have changed has
    /// to be run again before a version is activated.
    #[oai(
        path = "/admin/evaluations/:evaluation_id",
        method = "patch",
        operation_id = "updateEvaluation",
        tag = Tag::ToolsAdmin
    )]
    async fn update_evaluation(
        &self,
        caller: Admin,
        /// The evaluation.
        evaluation_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
        body: Body<Changes<NewEvaluation>>,
    ) -> Result<Versioned<Evaluation>, Problem> {
        self.app.edit(&caller, evaluation_id.0, version, body.edit(NewEvaluation::set)).await
    }

    /// Delete an evaluation of instructions
    ///
    /// It can be restored. Until then no version has to pass it.
    #[oai(
        path = "/admin/evaluations/:evaluation_id",
        method = "delete",
        operation_id = "deleteEvaluation",
        tag = Tag::ToolsAdmin
    )]
    async fn delete_evaluation(
        &self,
        caller: Admin,
        /// The evaluation.
        evaluation_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<NoContent, Problem> {
        self.app.delete::<Row>(&caller, evaluation_id.0, version).await
    }

    /// Restore a deleted evaluation of instructions
    #[oai(
        path = "/admin/evaluations/:evaluation_id/restore",
        method = "post",
        operation_id = "restoreEvaluation",
        tag = Tag::ToolsAdmin
    )]
    async fn restore_evaluation(
        &self,
        caller: Admin,
        /// The evaluation.
        evaluation_id: Path<Uuid>,
        #[oai(name = "If-Match")] version: IfMatch,
    ) -> Result<Versioned<Evaluation>, Problem> {
        self.app.edit::<Row, _>(&caller, evaluation_id.0, version, resource::restore()).await
    }
}
