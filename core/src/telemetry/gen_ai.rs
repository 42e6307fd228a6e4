//! OpenTelemetry's conventions for calls of generative models, in version 1.37.0
//! (<https://github.com/open-telemetry/semantic-conventions/tree/v1.37.0/docs/gen-ai>). All names are here, because they are not stable
//! yet. Neither questions nor answers are recorded: the attributes for content are opt-in, and there is no option.

use opentelemetry::{Array, StringValue, Value};
use tracing::Span;

use super::trace;

const OPERATION_NAME: &str = "gen_ai.operation.name";
const PROVIDER_NAME: &str = "gen_ai.provider.name";
const REQUEST_MODEL: &str = "gen_ai.request.model";
const REQUEST_MAX_TOKENS: &str = "gen_ai.request.max_tokens";
const REQUEST_TEMPERATURE: &str = "gen_ai.request.temperature";
const OUTPUT_TYPE: &str = "gen_ai.output.type";
const RESPONSE_FINISH_REASONS: &str = "gen_ai.response.finish_reasons";
const USAGE_INPUT_TOKENS: &str = "gen_ai.usage.input_tokens";
const USAGE_OUTPUT_TOKENS: &str = "gen_ai.usage.output_tokens";
const ERROR_TYPE: &str = "error.type";
const SERVER_ADDRESS: &str = "server.address";

/// The operation: a conversation with a model.
const CHAT: &str = "chat";

/// A call of a provider.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// The format in which it is called: `openai`, `azure.ai.openai`, or a name of our own.
    pub provider: &'static str,
    /// The host; `None` if nothing leaves the process.
    pub server: Option<&'a str>,
    /// The model; `None` if the provider has none.
    pub model: Option<&'a str>,
    /// The longest answer, in tokens.
    pub max_tokens: i32,
    /// The temperature; `None` for the model's own.
    pub temperature: Option<f64>,
}

/// How a call ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// Whether the answer was cut off at its maximum length.
    pub is_cut: bool,
    /// The code of why there is no complete answer; `None` if there is one.
    pub error: Option<&'a str>,
    /// Tokens of the request.
    pub input_tokens: Option<i32>,
    /// Tokens of the answer.
    pub output_tokens: Option<i32>,
}

/// Describes the call that a span is about, for the collector.
pub fn begin(span: &Span, call: Call<'_>) {
    trace::rename(span, call.model.map_or_else(|| CHAT.to_owned(), |model| format!("{CHAT} {model}")));
    trace::attribute(span, OPERATION_NAME, CHAT);
    trace::attribute(span, PROVIDER_NAME, call.provider);
    trace::attribute(span, OUTPUT_TYPE, "text");
    trace::attribute(span, REQUEST_MAX_TOKENS, i64::from(call.max_tokens));
    if let Some(model) = call.model {
        trace::attribute(span, REQUEST_MODEL, model.to_owned());
    }
    if let Some(temperature) = call.temperature {
        trace::attribute(span, REQUEST_TEMPERATURE, temperature);
    }
    if let Some(server) = call.server {
        trace::attribute(span, SERVER_ADDRESS, server.to_owned());
    }
}

/// Says how the call of a span ended, for the collector.
pub fn end(span: &Span, ended: Ended<'_>) {
    for (name, tokens) in [(USAGE_INPUT_TOKENS, ended.input_tokens), (USAGE_OUTPUT_TOKENS, ended.output_tokens)] {
        if let Some(tokens) = tokens {
            trace::attribute(span, name, i64::from(tokens));
        }
    }
    if let Some(error) = ended.error {
        trace::attribute(span, ERROR_TYPE, error.to_owned());
    } else {
        let reason = StringValue::from(if ended.is_cut { "length" } else { "stop" });
        trace::attribute(span, RESPONSE_FINISH_REASONS, Value::Array(Array::String(vec![reason])));
    }
}
