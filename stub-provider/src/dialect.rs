//! The differences between servers that implement the chat-completions format.

use serde_json::{Value, json};

use crate::script::Fault;

/// The server whose variant of the format an answer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// OpenAI.
    OpenAi,
    /// OpenRouter: comments while it waits, numeric error codes, errors inside the stream.
    OpenRouter,
    /// vLLM: errors without an envelope.
    Vllm,
    /// Ollama: the role in every piece.
    Ollama,
    /// llama.cpp's server: numeric error codes, null content at first, timings at the end.
    LlamaCpp,
}

impl Dialect {
    /// All dialects.
    pub const ALL: [Self; 5] = [Self::OpenAi, Self::OpenRouter, Self::Vllm, Self::Ollama, Self::LlamaCpp];

    /// Its name in a script.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::OpenRouter => "openrouter",
            Self::Vllm => "vllm",
            Self::Ollama => "ollama",
            Self::LlamaCpp => "llamacpp",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.name() == name)
    }

    /// The status and body of an error that is sent instead of a stream. Like real servers, it quotes a key that it rejects.
    pub(crate) fn error(self, fault: Fault, key: &str) -> (u16, Value) {
        let (status, kind, code, message) = self.details(fault);
        let message = if status == 401 { format!("{message}: {key}") } else { message.to_owned() };
        let body = match self {
            Self::OpenAi => json!({"error": {"message": message, "type": kind, "param": null, "code": code}}),
            Self::OpenRouter => {
                json!({"error": {"message": message, "code": status, "metadata": {"provider_name": "Stub"}}, "user_id": "user_stub"})
            }
            Self::Vllm => json!({"object": "error", "message": message, "type": kind, "param": null, "code": status}),
            Self::Ollama => json!({"error": {"message": message, "type": kind, "param": null, "code": null}}),
            Self::LlamaCpp => json!({"error": {"code": status, "message": message, "type": kind}}),
        };
        (status, body)
    }

    /// An error inside a stream, as the data of an event.
    pub(crate) fn stream_error(self, fault: Fault, model: &str) -> Value {
        let overloaded = fault == Fault::Overloaded;
        let (message, kind, code) = if overloaded {
            ("The engine is currently overloaded, please try again later", "service_unavailable", 503)
        } else {
            ("The server had an error while processing your request", "server_error", 500)
        };
        match self {
            Self::OpenAi | Self::Ollama => {
                json!({"error": {"message": message, "type": kind, "param": null, "code": null}})
            }
            Self::OpenRouter => json!({
                "id": "gen-stub", "object": "chat.completion.chunk", "created": 1, "model": model, "provider": "Stub",
                "error": {"code": code, "message": message},
                "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}],
            }),
            Self::Vllm => {
                json!({"error": {"object": "error", "message": message, "type": kind, "param": null, "code": code}})
            }
            Self::LlamaCpp => json!({"error": {"code": code, "message": message, "type": kind}}),
        }
    }

    /// Status, type, code and message of an error.
    fn details(self, fault: Fault) -> (u16, &'static str, Option<&'static str>, &'static str) {
        match (fault, self) {
            (Fault::Quota, Self::OpenRouter) => (402, "", None, "This request requires more credits."),
            (Fault::Quota, _) => (
                429,
                "insufficient_quota",
                Some("insufficient_quota"),
                "You exceeded your current quota, please check your plan and billing details.",
            ),
            (Fault::Context, Self::LlamaCpp) => (
                400,
                "exceed_context_size_error",
                None,
                "the request exceeds the available context size, try increasing it",
            ),
            (Fault::Context, Self::Vllm) => (
                400,
                "BadRequestError",
                None,
                "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens.",
            ),
            (Fault::Context, _) => (
                400,
                "invalid_request_error",
                Some("context_length_exceeded"),
                "This model's maximum context length is 4096 tokens. Please reduce the length of the messages.",
            ),
            (Fault::Flagged, Self::OpenRouter) => {
                (403, "", None, "Your chosen model requires moderation and your input was flagged")
            }
            (Fault::Flagged, _) => (
                400,
                "invalid_request_error",
                Some("content_policy_violation"),
                "Your request was rejected by our safety system.",
            ),
            (Fault::Model, Self::OpenAi) => (
                404,
                "invalid_request_error",
                Some("model_not_found"),
                "The model does not exist or you do not have access to it.",
            ),
            (Fault::Model, Self::OpenRouter) => (400, "", None, "stub/model is not a valid model ID"),
            (Fault::Model, _) => (404, "not_found_error", None, "model \"stub\" not found, try pulling it first"),
            (Fault::Status(401), _) => {
                (401, "invalid_request_error", Some("invalid_api_key"), "Incorrect API key provided")
            }
            (Fault::Status(429), _) => {
                (429, "requests", Some("rate_limit_exceeded"), "Rate limit reached for requests.")
            }
            (Fault::Status(503), Self::LlamaCpp) => (503, "unavailable_error", None, "Loading model"),
            (Fault::Status(status), _) if status >= 500 => (status, "server_error", None, "The server had an error."),
            (Fault::Status(status), _) => (status, "invalid_request_error", None, "The request was not understood."),
            _ => (500, "server_error", None, "The server had an error."),
        }
    }
}
