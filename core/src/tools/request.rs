//! What a provider is asked.

use super::{Context, Tool};

/// A question, and everything that its answer is based on.
#[derive(Clone, Debug)]
pub struct Request {
    /// The tool that answers.
    pub tool: Tool,
    /// The text of the question.
    pub question: String,
    /// The context that was recorded with the question.
    pub context: Context,
    /// The system instruction.
    pub instruction: String,
    /// The model that the instruction requests; `None` for the configured default.
    pub model: Option<String>,
    /// The temperature, from 0 to 2; `None` for the default of the model.
    pub temperature: Option<f64>,
    /// The maximum length of the answer, in tokens.
    pub max_tokens: i32,
}
