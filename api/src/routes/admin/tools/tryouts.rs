//! Try-outs of the AI tools' instructions.

use cairn_core::tools::tryouts;
use poem_openapi::param::{Header, Path};
use poem_openapi::payload::Json;
use poem_openapi::{Enum, Object, OpenApi};
use uuid::Uuid;

use crate::answers::Accepted;
use crate::caller::Admin;
use crate::operation::{Problems, Tag};
use crate::params::{Body, IdempotencyKey, IdempotentRequest};
use crate::routes::tools::{ToolType, messages};
use crate::time::{OptionalTime, Time};
use crate::view::view;
use crate::{App, Code, Problem};

/// Try-outs of the AI tools' instructions.
pub struct TryoutsApi {
    /// The app.
    pub app: App,
}

/// Problems beyond the derived ones.
pub const PROBLEMS: Problems =
    &[("createTryout", &[Code::InstructionNotFound, Code::MessageTooLong, Code::TooManyTryouts, Code::BudgetExceeded])];

/// The state of a try-out. `completed` and `failed` are final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case", remote = "tryouts::TryoutState")]
pub enum TryoutState {
    /// Waiting for a worker.
    Queued,
    /// Being answered.
    Running,
    /// Answered.
    Completed,
    /// Failed; see `reason` and `error`.
    Failed,
}

view! {
    /// A question that an admin asked under a version of a tool's instruction. Kept for a day.
    pub struct Tryout from tryouts::Tryout {
        /// Identifies the try-out.
        id: Uuid,
        /// The tool.
        #[oai(rename = "tool_type")]
        tool: ToolType,
        /// The version of the tool's instruction.
        instruction_version: i32,
        /// The question.
        question: String,
        /// The state.
        state: TryoutState,
        /// The answer in Markdown. If the try-out failed, the part that was received before; null if there is none, and
        /// until the state is final.
        answer: Option<String>,
        /// Whether the answer was cut off at its maximum length; false until the state is final.
        is_cut: bool,
        /// Why the try-out failed, as a code: the same codes as of replies; null otherwise.
        reason: Option<String>,
        /// What the provider said about the failure; null if there is none, or if it said nothing.
        error: Option<String>,
        /// The provider that was asked; null until it is.
        provider: Option<String>,
        /// The model that was asked; null until the state is final, and if the provider has no models.
        model: Option<String>,
        /// The tokens of the request; null if nothing was sent.
        prompt_tokens: Option<i32>,
        /// The tokens of the answer; null if the request was not accepted.
        completion_tokens: Option<i32>,
        /// The tokens of thoughts, which are among those of the answer; null if the provider does not say.
        thinking_tokens: Option<i32>,
        /// Whether a number of tokens is an estimate, because the provider did not say it.
        is_estimate: bool,
        /// The time to the first piece of text, in milliseconds; null if there was none.
        first_token_ms: Option<i32>,
        /// The cost in millionths of the currency in which prices are configured; null if no price is.
        cost_micros: Option<i64>,
        /// Identifies the admin who asked.
        created_by: Uuid,
        /// When it was asked.
        created_at: Time,
        /// When a worker began to answer it; null until then.
        started_at: OptionalTime,
        /// When it reached its final state; null until then.
        finished_at: OptionalTime,
    }
}

/// A question to try an instruction version out with.
#[derive(Clone, Debug, Object)]
pub struct NewTryout {
    /// The question. Surrounding white space is removed. The maximum length is that of learners' questions, a setting of the
    /// platform (by default 8,000 characters).
    #[oai(validator(min_length = 1, max_length = 100_000))]
    pub question: String,
}

#[OpenApi]
impl TryoutsApi {
    /// Create a try-out of an instruction version
    ///
    /// Asks the tool a question under this version, active or not. The answer is written in the background: read the
    /// try-out until its state is final. It finds content as for a learner, and if the version asks for the learner, that is
    /// you. There are no earlier messages. No chat, message or reply is stored, and nothing counts towards a quota. A
    /// provider that fails is not asked again. Its cost counts towards the budgets of the tool and of the platform. At most 3 of your try-outs are answered at once.
    #[oai(
        path = "/admin/tools/:tool_type/instructions/:version/tryouts",
        method = "post",
        operation_id = "createTryout",
        tag = Tag::ToolsAdmin
    )]
    async fn create_tryout(
        &self,
        caller: Admin,
        /// The tool.
        tool_type: Path<ToolType>,
        /// The version.
        #[oai(validator(minimum(value = "1"), maximum(value = "2147483647")))]
        version: Path<i32>,
        #[oai(name = "Idempotency-Key")] key: Header<Option<IdempotencyKey>>,
        body: Body<NewTryout>,
    ) -> Result<Accepted<Tryout>, Problem> {
        let question = body.question.trim();
        if question.is_empty() {
            return Err(Problem::invalid_field("/question", "blank", "A question is expected."));
        }
        let request = IdempotentRequest::new(&caller, "createTryout", key.0, &body);
        let mut tx = self.app.begin_as(&caller).await?;
        if let Some(answer) = request.replay::<Tryout>(&mut tx).await? {
            return Ok(accepted(answer));
        }
        let settings = self.app.settings(&mut tx).await?;
        messages::check_length(&settings, question, "/question")?;
        let answer = Tryout::from(tryouts::create(&mut tx, &settings, tool_type.0.into(), version.0, question).await?);
        request.store(&mut tx, &answer).await?;
        tx.commit().await?;
        Ok(accepted(answer))
    }

    /// Get a try-out
    ///
    /// Try-outs are kept for a day.
    #[oai(path = "/admin/tryouts/:tryout_id", method = "get", operation_id = "getTryout", tag = Tag::ToolsAdmin)]
    async fn get_tryout(
        &self,
        _caller: Admin,
        /// The try-out.
        tryout_id: Path<Uuid>,
    ) -> Result<Json<Tryout>, Problem> {
        let mut connection = self.app.connection().await?;
        Ok(Json(tryouts::find(&mut connection, tryout_id.0).await?.into()))
    }
}

fn accepted(tryout: Tryout) -> Accepted<Tryout> {
    Accepted::at(format!("/v1/admin/tryouts/{}", tryout.id), tryout)
}
