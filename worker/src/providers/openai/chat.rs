//! OpenAI's chat-completions format, as it is offered by nearly everybody.

use cairn_core::config::Adjustment;
use cairn_core::tools::Reason;
use serde_json::{Value, json};

use super::super::answer::{Failure, Tokens};
use super::content::Content;
use super::dialect::{Asking, Dialect};
use super::prompt::Message;
use super::refusal::Refusal;
use super::said::{Finish, Said};

/// An endpoint with that format.
#[derive(Debug)]
pub(super) struct Chat {
    /// What precedes `/chat/completions`.
    pub(super) base_url: String,
}

impl Dialect for Chat {
    fn url(&self, _: &str) -> String {
        format!("{}/chat/completions", self.base_url)
    }

    fn models_url(&self) -> String {
        format!("{}/models", self.base_url)
    }

    fn body(&self, asking: &Asking<'_>) -> Value {
        body(asking)
    }

    fn read(&self, value: &Value) -> Said {
        read(value)
    }
}

/// The body of a request.
pub(super) fn body(asking: &Asking<'_>) -> Value {
    let mut body = json!({"model": asking.model, "messages": messages(asking)});
    if asking.is_streamed() {
        body["stream"] = json!(true);
        if !asking.has(Adjustment::NoStreamOptions) {
            body["stream_options"] = json!({"include_usage": true});
        }
    }
    if !asking.has(Adjustment::NoTokenLimit) {
        let newer = asking.has(Adjustment::MaxCompletionTokens);
        body[if newer { "max_completion_tokens" } else { "max_tokens" }] = json!(asking.max_tokens);
    }
    if let Some(temperature) = asking.temperature.filter(|_| !asking.has(Adjustment::NoTemperature)) {
        body["temperature"] = json!(temperature);
    }
    body
}

/// The messages, with the instruction where the model takes it.
pub(super) fn messages(asking: &Asking<'_>) -> Vec<Message> {
    let mut messages = asking.prompt.messages.clone();
    if asking.has(Adjustment::NoSystemRole) {
        let instruction = messages.remove(0);
        if let Some(first) = messages.first_mut() {
            first.content = format!("{}\n\n{}", instruction.content, first.content);
        }
    } else if asking.has(Adjustment::DeveloperRole)
        && let Some(instruction) = messages.first_mut()
    {
        instruction.role = "developer";
    }
    messages
}

/// Reads an event of a stream or a whole answer, which differ in little.
pub(super) fn read(value: &Value) -> Said {
    // Groq and Moonshot have places of their own for the usage.
    let usages = [&value["usage"], &value["choices"][0]["usage"], &value["x_groq"]["usage"]];
    let tokens = usages.into_iter().map(tokens).find(|tokens| *tokens != Tokens::default());
    let mut said = Said { tokens: tokens.unwrap_or_default(), error: Refusal::find(value), ..Said::default() };
    let choices = value["choices"].as_array().map(Vec::as_slice).unwrap_or_default();
    said.is_known = !choices.is_empty();
    // One answer was asked for. Of several, the first one counts, in whatever order they come.
    let Some(choice) = choices.iter().find(|choice| choice["index"].as_i64().unwrap_or(0) == 0) else { return said };
    if said.error.is_none() {
        said.error = Refusal::find(&json!({ "error": choice["error"] }));
    }
    let is_part = choice["delta"].is_object();
    let message = if is_part { &choice["delta"] } else { &choice["message"] };
    let content = Content::read(if message.is_object() { &message["content"] } else { &choice["text"] });
    if content.is_strange && said.error.is_none() {
        let strange = Failure::new(Reason::Malformed, "the content is neither text nor a list of its parts");
        said.error = Some(strange.into());
    }
    let is_thought = message["extra_content"]["google"]["thought"] == true;
    let (text, mut thoughts) = if is_thought { (String::new(), content.text) } else { (content.text, String::new()) };
    thoughts.insert_str(0, &content.thoughts);
    // Some servers send the same thoughts under two names.
    let fields = ["reasoning_content", "reasoning", "thinking", "reasoning_details", "thinking_blocks"];
    thoughts +=
        &fields.iter().map(|field| as_thoughts(&message[*field])).find(|text| !text.is_empty()).unwrap_or_default();
    let refusal = content.refusal + message["refusal"].as_str().unwrap_or_default();
    if is_part || !message.is_object() {
        (said.text, said.thoughts, said.refusal) = (text, thoughts, refusal);
    } else {
        // MiniMax ends a stream of parts with the whole message.
        (said.message_text, said.message_thoughts, said.whole_refusal) = (text, thoughts, refusal);
    }
    said.finish = choice["finish_reason"].as_str().and_then(Finish::from_reason);
    said
}

fn as_thoughts(value: &Value) -> String {
    let content = Content::read(value);
    content.thoughts + &content.text
}

/// Reads a usage, which some send with every event.
fn tokens(usage: &Value) -> Tokens {
    let either = |one: &str, other: &str| count(&usage[one]).or_else(|| count(&usage[other]));
    let prompt = either("prompt_tokens", "input_tokens");
    let completion = either("completion_tokens", "output_tokens");
    // xAI and Gemini count thoughts in the sum alone, though they are billed.
    let rest = count(&usage["total_tokens"]).zip(prompt).map(|(total, prompt)| total.saturating_sub(prompt));
    Tokens {
        prompt,
        completion: completion.map(|completion| completion.max(rest.unwrap_or_default())),
        thinking: count(&usage["completion_tokens_details"]["reasoning_tokens"])
            .or_else(|| count(&usage["output_tokens_details"]["reasoning_tokens"]))
            .or_else(|| count(&usage["reasoning_tokens"])),
    }
}

/// A number of tokens. Some servers write it as a fraction.
fn count(value: &Value) -> Option<i32> {
    let whole = value.as_i64().or_else(|| {
        let number = value.as_f64().filter(|number| number.fract() == 0.0 && number.abs() < f64::from(i32::MAX))?;
        format!("{number:.0}").parse().ok()
    });
    whole.and_then(|n| i32::try_from(n).ok()).filter(|n| *n >= 0)
}

/// Reads the usage of a response of OpenAI's Responses API, whose fields have other names.
pub(super) fn usage_of(value: &Value) -> Tokens {
    tokens(&value["usage"])
}
