//! What a model demands of requests, as real ones do. A request that does not meet a demand is refused with the message of a
//! server that is known for it.

use serde_json::{Value, json};

/// A demand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// `no_stream_options`: Mistral.
    NoStreamOptions,
    /// `no_system_role`: Gemma's template.
    NoSystemRole,
    /// `max_completion_tokens`: OpenAI's models that think.
    MaxCompletionTokens,
    /// `no_temperature`: likewise.
    NoTemperature,
    /// `no_streaming`: an organization that is not verified.
    NoStreaming,
}

impl Demand {
    const ALL: [(&'static str, Self); 5] = [
        ("no_stream_options", Self::NoStreamOptions),
        ("no_system_role", Self::NoSystemRole),
        ("max_completion_tokens", Self::MaxCompletionTokens),
        ("no_temperature", Self::NoTemperature),
        ("no_streaming", Self::NoStreaming),
    ];

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find_map(|(known, demand)| (known == name).then_some(demand))
    }

    /// Status and body of the refusal of a request that does not meet the demand.
    pub(crate) fn refusal(self, request: &Value) -> Option<(u16, Value)> {
        let has = |field: &str| !request[field].is_null();
        let error = |message: &str, param: &str| json!({"error": {"message": message, "type": "invalid_request_error", "param": param, "code": "unsupported_value"}});
        let is_met = match self {
            Self::NoStreamOptions => !has("stream_options"),
            Self::NoSystemRole => request["messages"][0]["role"] != "system",
            Self::MaxCompletionTokens => !has("max_tokens"),
            Self::NoTemperature => !has("temperature"),
            Self::NoStreaming => request["stream"] != true,
        };
        (!is_met).then(|| match self {
            Self::NoStreamOptions => (
                422,
                json!({"object": "error", "type": "invalid_request_error", "message": {"detail": [{
                    "type": "extra_forbidden", "loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted",
                    "input": request["stream_options"],
                }]}}),
            ),
            Self::NoSystemRole => (
                400,
                json!({"object": "error", "message": "System role not supported", "type": "BadRequestError", "code": 400}),
            ),
            Self::MaxCompletionTokens => (
                400,
                error(
                    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
                    "max_tokens",
                ),
            ),
            Self::NoTemperature => (
                400,
                error(
                    "Unsupported value: 'temperature' does not support this value with this model. Only the default (1) value is supported.",
                    "temperature",
                ),
            ),
            Self::NoStreaming => (400, error("Your organization must be verified to stream this model.", "stream")),
        })
    }
}
