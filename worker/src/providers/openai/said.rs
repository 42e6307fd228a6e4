//! What a part of an answer says, whatever the format is.

use super::super::answer::Tokens;
use super::refusal::Refusal;

/// What an event of a stream, or a whole answer, says.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Whether it has the form that is expected.
    pub(super) is_known: bool,
    /// A part of the text.
    pub(super) text: String,
    /// The text of a whole message, which counts only if it did not come in parts.
    pub(super) message_text: String,
    /// The text of the whole answer, which counts only if there was no other.
    pub(super) whole_text: String,
    /// A part of what the model thinks.
    pub(super) thoughts: String,
    /// The thoughts of a whole message, which count only if they did not come in parts.
    pub(super) message_thoughts: String,
    /// The refusal of a whole message or answer, which counts only if there was no other.
    pub(super) whole_refusal: String,
    /// Why the model declines to answer.
    pub(super) refusal: String,
    /// What the provider has counted so far.
    pub(super) tokens: Tokens,
    pub(super) finish: Option<Finish>,
    /// Whether nothing follows.
    pub(super) is_last: bool,
    pub(super) error: Option<Refusal>,
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
        // Gemini names what a filter has found, as in `content_filter: PROHIBITED_CONTENT`, and some repeat the name of the field.
        let word = reason.split(':').next().unwrap_or_default().trim().to_ascii_lowercase();
        let word =
            ["finish_reason_", "finishreason."].iter().find_map(|prefix| word.strip_prefix(prefix)).unwrap_or(&word);
        Some(match word {
            "" | "null" | "none" | "unspecified" => return None,
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
            | "guardrail_intervened"
            | "image_safety"
            | "model_armor"
            | "language"
            | "error_toxic" => Self::Filtered,
            "refusal" => Self::Refused,
            "error"
            | "error_finish"
            | "timeout"
            | "time_limit"
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
