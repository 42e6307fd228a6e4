//! The system instructions of the AI tools.

use cairn_core::tools::Tool;
use cairn_core::tools::instructions::{self, Draft};
use chrono::{DateTime, Utc};
use poem_openapi::param::{Header, Path, Query};
use poem_openapi::payload::Json;
use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};
use uuid::Uuid;

use crate::answers::Created;
use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::params::{Body, Cursor, IdempotencyKey, IdempotentRequest, Limit, Page, PageRequest};
use crate::routes::tools::ToolType;
use crate::{App, Code, Problem};

/// The system instructions of the AI tools.
pub struct InstructionsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems = &[
    ("createInstruction", &[Code::IdempotencyKeyReused]),
    ("getInstruction", &[Code::InstructionNotFound]),
    ("activateInstruction", &[Code::InstructionNotFound]),
];

/// A version of a tool's instruction. Versions are never edited.
#[derive(Clone, Debug, Object)]
#[oai(example)]
pub struct Instruction {
    /// Its id.
    pub id: Uuid,
    /// Whose.
    pub tool_type: ToolType,
    /// Counts from 1 for each tool.
    pub version: i32,
    /// What the model is told.
    pub content: String,
    /// The model that is asked; null = the platform's default.
    pub model: Option<String>,
    /// How freely it answers, from 0 to 2; null = the model's own.
    pub temperature: Option<f64>,
    /// Longest answer, in tokens.
    pub max_tokens: i32,
    /// Whether the model is told the learner's first name and place in the roadmap.
    pub include_learner: bool,
    /// Whether questions are answered under it.
    pub is_active: bool,
    /// The admin who made it; null = it came with the platform, or they are gone.
    pub created_by: Option<Uuid>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
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
            is_active: instruction.is_active,
            created_by: instruction.created_by,
            created_at: instruction.created_at,
        }
    }
}

impl Example for Instruction {
    fn example() -> Self {
        let new = NewInstruction::example();
        Self {
            id: Uuid::from_u128(0x0198_c2f0_7a53_7cc1_9d2e_3f6b_8a1c_5d10),
            tool_type: ToolType::Assistant,
            version: 2,
            content: new.content,
            model: new.model,
            temperature: new.temperature,
            max_tokens: new.max_tokens,
            include_learner: new.include_learner,
            is_active: true,
            created_by: None,
            created_at: DateTime::UNIX_EPOCH,
        }
    }
}

/// The active instructions.
#[derive(Clone, Debug, Object)]
#[oai(example)]
pub struct InstructionList {
    /// One for each tool.
    pub items: Vec<Instruction>,
}

impl Example for InstructionList {
    fn example() -> Self {
        Self { items: vec![Instruction::example()] }
    }
}

/// The next version of an instruction.
#[derive(Clone, Debug, Object)]
#[oai(example)]
pub struct NewInstruction {
    /// What the model is told.
    #[oai(validator(min_length = 1, max_length = 50_000))]
    pub content: String,
    /// The model to ask; null = the platform's default.
    #[oai(validator(min_length = 1, max_length = 200))]
    pub model: Option<String>,
    /// How freely it answers; null = the model's own.
    #[oai(validator(minimum(value = "0"), maximum(value = "2")))]
    pub temperature: Option<f64>,
    /// Longest answer, in tokens.
    #[oai(validator(minimum(value = "16"), maximum(value = "32000")))]
    pub max_tokens: i32,
    /// Whether the model is told the learner's first name and place in the roadmap: personal data that leaves the
    /// platform.
    pub include_learner: bool,
}

impl Example for NewInstruction {
    fn example() -> Self {
        Self {
            content: "You are a mentor on a course platform. Answer briefly and concretely.".to_owned(),
            model: Some("gpt-4o-mini".to_owned()),
            temperature: Some(0.7),
            max_tokens: 1500,
            include_learner: false,
        }
    }
}

#[OpenApi]
impl InstructionsApi {
    /// List the tools' active instructions, with their models
    #[oai(path = "/admin/tools", method = "get", operation_id = "listActiveInstructions", tag = Tag::ToolsAdmin)]
    async fn list_active_instructions(&self, _caller: Admin) -> Result<Json<InstructionList>, Problem> {
        let mut connection = self.app.connection().await?;
        let items = instructions::list_active(&mut connection).await?;
        Ok(Json(InstructionList { items: items.into_iter().map(Instruction::from).collect() }))
    }

    /// List the versions of a tool's instruction, newest first
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
        page.answer(rows, |last| Some(last.version))
    }

    /// Make the next version of a tool's instruction
    ///
    /// It is not active before it is activated.
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
                return Err(Problem::invalid_field(pointer, "blank", "More than space is expected."));
            }
        }
        let request = IdempotentRequest::new(&caller, "createInstruction", key.0, &body);
        let mut tx = self.app.begin_as(&caller).await?;
        if let Some(answer) = request.replay::<Instruction>(&mut tx).await? {
            return Ok(created(answer));
        }
        let draft = Draft {
            content: body.content.clone(),
            model: body.model.clone(),
            temperature: body.temperature,
            max_tokens: body.max_tokens,
            include_learner: body.include_learner,
        };
        let made = instructions::create(&mut tx, tool_type.0.into(), &draft).await?;
        let answer = Instruction::from(made);
        request.store(&mut tx, &answer).await?;
        tx.commit().await?;
        Ok(created(answer))
    }

    /// Get a version of a tool's instruction
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
        #[oai(example = "some_version", validator(minimum(value = "1"), maximum(value = "2147483647")))]
        version: Path<i32>,
    ) -> Result<Json<Instruction>, Problem> {
        let mut connection = self.app.connection().await?;
        let found = instructions::find(&mut connection, tool_type.0.into(), version.0).await?;
        Ok(Json(found.into()))
    }

    /// Have a tool answer under a version of its instruction
    ///
    /// Counts for what is asked from now on. Repeating it changes nothing.
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
        #[oai(example = "some_version", validator(minimum(value = "1"), maximum(value = "2147483647")))]
        version: Path<i32>,
    ) -> Result<Json<Instruction>, Problem> {
        let mut tx = self.app.begin_as(&caller).await?;
        let chosen = instructions::activate(&mut tx, tool_type.0.into(), version.0).await?;
        tx.commit().await?;
        Ok(Json(chosen.into()))
    }
}

fn created(instruction: Instruction) -> Created<Instruction> {
    let (tool, version) = (Tool::from(instruction.tool_type), instruction.version);
    Created::at(format!("/v1/admin/tools/{}/instructions/{version}", tool.name()), instruction)
}

fn some_version() -> i32 {
    2
}
