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
    /// `developer_role`: gateways before OpenAI's models that think.
    DeveloperRole,
    /// `no_token_limit`: servers that know none of its names.
    NoTokenLimit,
    /// `no_background`: servers with the Responses API that keep nothing.
    NoBackground,
    /// `no_store`: servers with the Responses API that do not know of keeping.
    NoStore,
}

impl Demand {
    const ALL: [(&'static str, Self); 9] = [
        ("no_stream_options", Self::NoStreamOptions),
        ("no_system_role", Self::NoSystemRole),
        ("max_completion_tokens", Self::MaxCompletionTokens),
        ("no_temperature", Self::NoTemperature),
        ("no_streaming", Self::NoStreaming),
        ("developer_role", Self::DeveloperRole),
        ("no_token_limit", Self::NoTokenLimit),
        ("no_background", Self::NoBackground),
        ("no_store", Self::NoStore),
    ];

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find_map(|(known, demand)| (known == name).then_some(demand))
    }

    /// Status and body of the refusal of a request that does not meet the demand.
    pub(crate) fn refusal(self, request: &Value) -> Option<(u16, Value)> {
        let has = |field: &str| !request[field].is_null();
        let error = |message: &str, param: &str| json!({"error": {"message": message, "type": "invalid_request_error", "param": param, "code": "unsupported_value"}});
        let limit = ["max_tokens", "max_completion_tokens", "max_output_tokens"].into_iter().find(|name| has(name));
        let is_met = match self {
            Self::NoStreamOptions => !has("stream_options"),
            Self::NoSystemRole => request["messages"][0]["role"] != "system" && !has("instructions"),
            Self::DeveloperRole => request["messages"][0]["role"] != "system",
            Self::NoTokenLimit => limit.is_none(),
            Self::NoBackground => request["background"] != true,
            Self::NoStore => !has("store"),
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
            Self::DeveloperRole => (
                400,
                error("Unsupported value: role 'system' is not supported with this model. Use 'developer' instead.", "messages"),
            ),
            Self::NoTokenLimit => {
                let name = limit.unwrap_or_default();
                (400, error(&format!("Unknown parameter: '{name}'."), name))
            }
            Self::NoStore => (400, error("Unknown parameter: 'store'.", "store")),
            Self::NoBackground => (400, error("Unsupported parameter: 'background' is not supported.", "background")),
        })
    }
}
