//! What a part of an answer says, whatever the format is.

use super::super::answer::{Failure, Tokens};

/// What an event of a stream, or a whole answer, says.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Whether it has the form that is expected.
    pub(super) is_known: bool,
    pub(super) text: String,
    /// The text of the whole answer, which counts only if there was no other.
    pub(super) whole_text: String,
    pub(super) thoughts: String,
    /// The refusal of the whole answer, likewise.
    pub(super) whole_refusal: String,
    /// Why the model declines to answer.
    pub(super) refusal: String,
    /// What the provider has counted so far.
    pub(super) tokens: Tokens,
    pub(super) finish: Option<Finish>,
    /// Whether nothing follows.
    pub(super) is_last: bool,
    pub(super) error: Option<Failure>,
    /// The name under which the provider keeps the answer.
    pub(super) response_id: Option<String>,
}

/// Why the model stopped writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Finish {
    /// The answer is complete.
    Complete,
    /// The answer has reached its maximum length.
    Length,
    /// A filter stopped it.
    Filtered,
    /// The model declined.
    Refused,
    /// The provider failed, in its own words.
    Failed(String),
    /// A reason that is not known.
    Unknown(String),
}

impl Finish {
    /// Reads a finish reason; `None` if the text says that there is none.
    pub(super) fn from_reason(reason: &str) -> Option<Self> {
        Some(match reason.to_ascii_lowercase().as_str() {
            "" | "null" | "none" | "finish_reason_unspecified" => return None,
            "stop" | "end_turn" | "stop_sequence" | "eos" | "eos_token" | "complete" | "completed" | "end" => {
                Self::Complete
            }
            "length"
            | "max_tokens"
            | "max_output_tokens"
            | "max_length"
            | "model_length"
            | "model_context_window_exceeded" => Self::Length,
            "content_filter"
            | "content_filtered"
            | "safety"
            | "recitation"
            | "prohibited_content"
            | "blocklist"
            | "spii"
            | "sensitive"
            | "guardrail_intervened" => Self::Filtered,
            "refusal" => Self::Refused,
            "error"
            | "abort"
            | "cancelled"
            | "canceled"
            | "network_error"
            | "insufficient_system_resource"
            | "repetition_truncation" => Self::Failed(reason.to_owned()),
            _ => Self::Unknown(reason.to_owned()),
        })
    }
}
