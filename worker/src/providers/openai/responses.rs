//! OpenAI's Responses API: other events, and answers that the provider writes in the background and keeps.
//!
//! <https://platform.openai.com/docs/api-reference/responses-streaming>, <https://platform.openai.com/docs/guides/background>

use cairn_core::config::Adjustment;
use cairn_core::tools::Reason;
use serde_json::{Value, json};

use super::super::answer::Failure;
use super::azure::segment;
use super::chat;
use super::content::Content;
use super::dialect::{Asking, Dialect};
use super::refusal::Refusal;
use super::said::{Finish, Said};

/// An endpoint with that API.
#[derive(Debug)]
pub(super) struct Responses {
    /// What precedes `/responses`.
    pub(super) base_url: String,
    /// Whether the provider is to write answers in the background.
    pub(super) is_background: bool,
}

impl Dialect for Responses {
    fn url(&self, _: &str) -> String {
        format!("{}/responses", self.base_url)
    }

    fn models_url(&self) -> String {
        format!("{}/models", self.base_url)
    }

    fn body(&self, asking: &Asking<'_>) -> Value {
        let is_background = self.is_background && !asking.has(Adjustment::NoBackground);
        let mut body = json!({"model": asking.model});
        // What need not be kept to be read again is not kept.
        if !asking.has(Adjustment::NoStore) {
            body["store"] = json!(is_background);
        }
        let messages = &asking.prompt.messages;
        if asking.has(Adjustment::NoSystemRole) {
            body["input"] = json!(chat::messages(asking));
        } else {
            body["instructions"] = json!(messages.first().map(|instruction| &instruction.content));
            body["input"] = json!(messages.get(1..));
        }
        if is_background {
            body["background"] = json!(true);
        }
        if asking.is_streamed() {
            body["stream"] = json!(true);
        }
        if !asking.has(Adjustment::NoTokenLimit) {
            body["max_output_tokens"] = json!(asking.max_tokens);
        }
        if let Some(temperature) = asking.temperature.filter(|_| !asking.has(Adjustment::NoTemperature)) {
            body["temperature"] = json!(temperature);
        }
        body
    }

    fn read(&self, value: &Value) -> Said {
        let delta = || value["delta"].as_str().unwrap_or_default().to_owned();
        let mut said = match value["type"].as_str().unwrap_or_default() {
            "response.output_text.delta" => Said { text: delta(), ..Said::default() },
            "response.refusal.delta" => Said { refusal: delta(), ..Said::default() },
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                Said { thoughts: delta(), ..Said::default() }
            }
            // Some servers send whole items, and neither parts of them nor the output at the end.
            "response.output_item.done" => message(&value["item"]),
            "" if value["object"] == "response" => response(value, value["status"].as_str()),
            "error" | "" => Said { error: Refusal::find(value), ..Said::default() },
            kind if value["response"].is_object() => {
                response(&value["response"], value["response"]["status"].as_str().or(kind.strip_prefix("response.")))
            }
            _ => Said::default(),
        };
        // Without the background, nothing is kept.
        said.response_id = said.response_id.filter(|_| self.is_background);
        said.is_known =
            value["object"] == "response" || value["type"].as_str().is_some_and(|kind| kind.starts_with("response."));
        said
    }

    fn kept_url(&self, response_id: &str) -> Option<String> {
        self.is_background.then(|| format!("{}/responses/{}", self.base_url, segment(response_id)))
    }
}

/// Reads an item of the output, which has text if it is a message.
fn message(item: &Value) -> Said {
    let content = if item["type"] == "message" { Content::read(&item["content"]) } else { Content::default() };
    Said { message_text: content.text, whole_refusal: content.refusal, ..Said::default() }
}

/// Reads a response, whole or as far as it is written.
fn response(value: &Value, status: Option<&str>) -> Said {
    let status = status.unwrap_or_default();
    let mut said = Said {
        tokens: chat::usage_of(value),
        response_id: value["id"].as_str().map(str::to_owned),
        is_last: matches!(status, "completed" | "incomplete" | "failed" | "cancelled"),
        ..Said::default()
    };
    for item in value["output"].as_array().into_iter().flatten() {
        let message = message(item);
        said.whole_text += &message.message_text;
        said.whole_refusal += &message.whole_refusal;
    }
    said.finish = match status {
        "completed" => Some(Finish::Complete),
        "incomplete" => {
            let reason = value["incomplete_details"]["reason"].as_str().unwrap_or("incomplete");
            Finish::from_reason(reason)
        }
        "cancelled" => Some(Finish::Failed("cancelled".to_owned())),
        _ => None,
    };
    if status == "failed" {
        let error = Refusal::find(&json!({ "error": value["error"] }));
        said.error =
            Some(error.unwrap_or_else(|| Failure::new(Reason::ProviderError, "the response has failed").into()));
    }
    said
}
