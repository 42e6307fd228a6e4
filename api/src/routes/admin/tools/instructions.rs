//! The system instructions of the AI tools.

use cairn_core::tools::Tool;
use cairn_core::tools::instructions::{self, Draft};
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::{Object, OpenApi};
use uuid::Uuid;

use crate::answers::Created;
use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::params::{Body, Cursor, IdempotencyKey, IdempotentRequest, Limit, Page, PageRequest};
use crate::routes::tools::ToolType;
use crate::time::Time;
use crate::{App, Code, Problem};

/// The system instructions of the AI tools.
pub struct InstructionsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[
    ("getInstruction", &[Code::InstructionNotFound]),
    ("activateInstruction", &[Code::InstructionNotFound, Code::EvaluationFallen, Code::EvaluationRequired]),
    ("rollBackInstruction", &[Code::InstructionNotFound, Code::InstructionNotRollable]),
];

/// A version of a tool's system instruction. Versions are never edited.
#[derive(Clone, Debug, Object)]
pub struct Instruction {
    /// Identifies the instruction.
    pub id: Uuid,
    /// The tool.
    pub tool_type: ToolType,
    /// The number of the version, which starts at 1 for each tool.
    pub version: i32,
    /// The text of the instruction.
    pub content: String,
    /// The model to ask; null if it is the platform's default.
    pub model: Option<String>,
    /// The sampling temperature, from 0 to 2; null if it is the model's default.
    pub temperature: Option<f64>,
    /// The maximum length of an answer, in tokens.
    pub max_tokens: i32,
    /// Whether the learner's first name and place in the roadmap are sent to the model.
    pub include_learner: bool,
    /// Whether learners are shown what the model thinks while it answers.
    pub show_thinking: bool,
    /// Whether the version is active.
    pub is_active: bool,
    /// Identifies the admin who created it; null if it came with the platform, or if the account was deleted.
    pub created_by: Option<Uuid>,
    /// When it was created.
    pub created_at: Time,
}

impl From<instructions::Instruction> for Instruction {
    fn from(instruction: instructions::Instruction) -> Self {
        Self {
            id: instruction.id,
            tool_type: instruction.tool.into(),
            version: instruction.version,
            content: instruction.content,
            model: instruction.model,
            temperature: instruction.temperature,
            max_tokens: instruction.max_tokens,
            include_learner: instruction.include_learner,
            show_thinking: instruction.show_thinking,
            is_active: instruction.is_active,
            created_by: instruction.created_by,
            created_at: instruction.created_at.into(),
        }
    }
}

/// The active instructions.
#[derive(Clone, Debug, Object)]
pub struct InstructionList {
    /// The active instruction of each tool.
    pub items: Vec<Instruction>,
}

/// The next version of an instruction.
#[derive(Clone, Debug, Object)]
#[oai(remote = "Draft")]
pub struct NewInstruction {
    /// The text of the instruction.
    #[oai(validator(min_length = 1, max_length = 50_000))]
    pub content: String,
    /// The model to ask; null if it is the platform's default.
    #[oai(validator(min_length = 1, max_length = 200))]
    pub model: Option<String>,
    /// The sampling temperature; null if it is the model's default.
    #[oai(validator(minimum(value = "0"), maximum(value = "2")))]
    pub temperature: Option<f64>,
    /// The maximum length of an answer, in tokens.
    #[oai(validator(minimum(value = "16"), maximum(value = "32000")))]
    pub max_tokens: i32,
    /// Whether the learner's first name and place in the roadmap are sent to the model: personal data that leaves the
    /// platform.
    pub include_learner: bool,
    /// Whether learners are shown what the model thinks while it answers: their streams get events `thinking`. It is stored with
    /// neither the answer nor the chat.
    #[oai(default)]
    pub show_thinking: bool,
}

#[OpenApi]
impl InstructionsApi {
    /// List the active instructions of all tools
    #[oai(path = "/admin/tools", method = "get", operation_id = "listActiveInstructions", tag = Tag::ToolsAdmin)]
    async fn list_active_instructions(&self, _caller: Admin) -> Result<Json<InstructionList>, Problem> {
        let mut connection = self.app.connection().await?;
        let items = instructions::list_active(&mut connection).await?;
        Ok(Json(InstructionList { items: items.into_iter().map(Instruction::from).collect() }))
    }

    /// List instruction versions
    #[oai(
        path = "/admin/tools/:tool_type/instructions",
        method = "get",
        operation_id = "listInstructions",
        tag = Tag::ToolsAdmin
    )]
    async fn list_instructions(
        &self,
        _caller: Admin,
        /// The tool.
        tool_type: Path<ToolType>,
        limit: Query<Limit>,
        cursor: Query<Option<Cursor>>,
    ) -> Result<Json<Page<Instruction>>, Problem> {
        let page = PageRequest::new(limit.0, cursor.0);
        let mut connection = self.app.connection().await?;
        let rows = instructions::list(&mut connection, tool_type.0.into(), page.after()?, page.rows()).await?;
        page.answer_within(rows, |instruction| instruction.content.len(), |last| Some(last.version))
    }

    /// Create an instruction version
    ///
    /// It is inactive until it is activated.
    #[oai(
        path = "/admin/tools/:tool_type/instructions",
        method = "post",
        operation_id = "createInstruction",
        tag = Tag::ToolsAdmin
    )]
    async fn create_instruction(
        &self,
        caller: Admin,
        /// The tool.
        tool_type: Path<ToolType>,
        #[oai(name = "Idempotency-Key")] key: Header<Option<IdempotencyKey>>,
        body: Body<NewInstruction>,
    ) -> Result<Created<Instruction>, Problem> {
        for (pointer, text) in [("/content", Some(&body.content)), ("/model", body.model.as_ref())] {
            if text.is_some_and(|text| text.trim().is_empty()) {
                return Err(Problem::invalid_field(pointer, "blank", "More than white space is expected."));
            }
        }
        let request = IdempotentRequest::new(&caller, "createInstruction", key.0, &body);
        let mut tx = self.app.begin_as(&caller).await?;
        if let Some(answer) = request.replay::<Instruction>(&mut tx).await? {
            return Ok(created(answer));
        }
        let draft = body.value.clone().into();
        let made = instructions::create(&mut tx, tool_type.0.into(), &draft).await?;
        let answer = Instruction::from(made);
        request.store(&mut tx, &answer).await?;
        tx.commit().await?;
        Ok(created(answer))
    }

    /// Get an instruction version
    #[oai(
        path = "/admin/tools/:tool_type/instructions/:version",
        method = "get",
        operation_id = "getInstruction",
        tag = Tag::ToolsAdmin
    )]
    async fn get_instruction(
        &self,
        _caller: Admin,
        /// The tool.
        tool_type: Path<ToolType>,
        /// The version.
        #[oai(validator(minimum(value = "1"), maximum(value = "2147483647")))]
        version: Path<i32>,
    ) -> Result<Json<Instruction>, Problem> {
        let mut connection = self.app.connection().await?;
        let found = instructions::find(&mut connection, tool_type.0.into(), version.0).await?;
        Ok(Json(found.into()))
    }

    /// Activate an instruction version
    ///
    /// Applies to questions that are asked from now on. Repeating the call has no effect. Evaluations that are attached must have
    /// been run with this version against the active one, and it must not answer fewer of their questions well.
    #[oai(
        path = "/admin/tools/:tool_type/instructions/:version/activate",
        method = "post",
        operation_id = "activateInstruction",
        tag = Tag::ToolsAdmin
    )]
    async fn activate_instruction(
        &self,
        caller: Admin,
        /// The tool.
        tool_type: Path<ToolType>,
        /// The version.
        #[oai(validator(minimum(value = "1"), maximum(value = "2147483647")))]
        version: Path<i32>,
    ) -> Result<Json<Instruction>, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        let chosen = instructions::activate(&mut tx, tool_type.0.into(), version.0).await?;
        tx.commit().await?;
        Ok(Json(chosen.into()))
    }

    /// Roll back an instruction version
    ///
    /// For the active version: the one that was active before it is active again. No evaluation is asked for. The version that is
    /// rolled back is not returned to by a later roll-back, so that repeated ones go back further.
    #[oai(
        path = "/admin/tools/:tool_type/instructions/:version/rollback",
        method = "post",
        operation_id = "rollBackInstruction",
        tag = Tag::ToolsAdmin
    )]
    async fn roll_back_instruction(
        &self,
        caller: Admin,
        /// The tool.
        tool_type: Path<ToolType>,
        /// The version to roll back, which is active.
        #[oai(validator(minimum(value = "1"), maximum(value = "2147483647")))]
        version: Path<i32>,
    ) -> Result<Json<Instruction>, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        let earlier = instructions::roll_back(&mut tx, tool_type.0.into(), version.0).await?;
        tx.commit().await?;
        Ok(Json(earlier.into()))
    }
}

fn created(instruction: Instruction) -> Created<Instruction> {
    let (tool, version) = (Tool::from(instruction.tool_type), instruction.version);
    Created::at(format!("/v1/admin/tools/{}/instructions/{version}", tool.name()), instruction)
}
