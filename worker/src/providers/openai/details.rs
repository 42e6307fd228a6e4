//! Finds what an error says, in the forms that servers and the proxies before them use.
//!
//! | provider | form |
//! |---|---|
//! | OpenAI, Azure, Ollama | `{"error": {"message", "type", "param", "code": "text" or null}}` |
//! | OpenRouter | `{"error": {"message", "code": 429, "metadata": {"raw": "what the model's own provider said"}}}`, also with status 200 |
//! | vLLM | `{"object": "error", "message", "type", "code": 400}`, in an envelope in newer versions |
//! | llama.cpp | `{"error": {"message", "type", "code": 400}}` |
//! | Mistral | `{"object": "error", "message": {"detail": [{"loc", "msg"}]}}`, `{"message", "request_id"}` |
//! | Gemini | `[{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message", "details"}}]` |
//! | Anthropic's form | `{"type": "error", "error": {"type", "message"}}` |
//! | FastAPI servers | `{"detail": "text"}`, `{"detail": [{"loc", "msg"}]}`, `{"detail": {"error": …}}` |
//! | Open WebUI, LiteLLM | an error within the text of another one |
//! | MiniMax | `{"base_resp": {"status_code": 1008, "status_msg"}}`, with status 200 |
//! | gateways | `{"errors": [{"message"}]}`, `{"fault": {"faultstring"}}`, `{"title", "detail", "status"}`, a page, a plain text |

use serde_json::Value;

/// Most bytes of the words of an error that are looked at.
const MAX_WORDS: usize = 8000;

/// How deep an error is looked into.
const MAX_DEPTH: usize = 6;

/// Fields with a message, the most telling ones first.
const MESSAGE_FIELDS: [&str; 18] = [
    "error",
    "message",
    "msg",
    "detail",
    "errors",
    "error_msg",
    "errmsg",
    "error_message",
    "errorMessage",
    "error_description",
    "status_msg",
    "base_resp",
    "fault",
    "faultstring",
    "description",
    "title",
    "reason",
    "Message",
];

/// Fields with a code or a status.
const CODES: [&str; 4] = ["code", "status", "status_code", "statusCode"];

/// Fields that repeat the request. What a learner has written must not decide what an error means.
const ECHOES: [&str; 9] =
    ["input", "body", "messages", "request", "prompt", "failed_generation", "ctx", "params", "request_body"];

/// What a provider says about an error.
#[derive(Clone, Debug, Default)]
pub(super) struct ErrorDetails {
    /// The message, in one line.
    pub(super) message: String,
    /// The status, if the error names one itself.
    pub(super) status: Option<u16>,
    /// All of its words in lower case, without those of the request.
    pub(super) words: String,
    /// The whole error.
    pub(super) value: Value,
}

impl ErrorDetails {
    /// The details of a body that is known to be an error.
    pub(super) fn of_body(body: &[u8]) -> Self {
        match serde_json::from_slice::<Value>(body) {
            Ok(value) => Self::of(value),
            Err(_) => Self::of_text(&String::from_utf8_lossy(body)),
        }
    }

    /// The details of a text that is no JSON, such as a page of a proxy.
    pub(super) fn of_text(text: &str) -> Self {
        let message = plain(text);
        Self { words: message.to_lowercase(), message, ..Self::default() }
    }

    /// The details of an object that is known to be an error.
    pub(super) fn of(value: Value) -> Self {
        let mut words = String::new();
        add_words(&value, &mut words, MAX_DEPTH);
        let message = one_line(&message(&value, MAX_DEPTH).unwrap_or_else(|| value.to_string()));
        Self { message, status: status(&value, 3), words: words.to_lowercase(), value }
    }

    /// The details of an object in place of an answer, or within one; `None` if it is no error.
    pub(super) fn find(value: &Value) -> Option<Self> {
        let object = value.get(0).unwrap_or(value);
        let has = |field: &str| object.get(field).is_some_and(|value| !is_nothing(value));
        let says = |field: &str| object[field].as_str().is_some_and(|text| !text.is_empty());
        let has_message = has("message") || has("msg");
        let has_code = CODES.iter().any(|field| has(field));
        let is_bare = !["usage", "id", "type"].iter().any(|field| has(field));
        let is_error = has("error")
            || object["type"] == "error"
            || object["object"] == "error"
            || (!has("choices")
                && (["detail", "errors", "fault"].iter().any(|field| has(field))
                    || ["error_msg", "error_message", "errorMessage"].iter().any(|field| says(field))
                    || object["success"] == Value::Bool(false)
                    || (!is_fine(object)
                        && (has_code && has_message
                            || is_bare && ["message", "msg"].iter().any(|field| says(field))))
                    || object["base_resp"]["status_code"].as_i64().is_some_and(|code| code != 0)));
        is_error.then(|| Self::of(object.clone()))
    }
}

/// Whether an object with a message says by a code or a status that nothing is wrong.
fn is_fine(object: &Value) -> bool {
    const WORDS: [&str; 6] = ["ok", "success", "queued", "pending", "processing", "in_progress"];
    CODES.iter().any(|field| match &object[*field] {
        Value::Number(number) => matches!(number.as_i64(), Some(0 | 200..=299)),
        Value::String(text) => WORDS.contains(&text.to_ascii_lowercase().as_str()) || text == "0" || text == "200",
        _ => false,
    })
}

/// Whether a value says nothing. Some gateways send an error with every event whose fields are all empty.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) => false,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.iter().all(is_nothing),
        Value::Object(fields) => fields.values().all(is_nothing),
    }
}

fn message(value: &Value, depth: usize) -> Option<String> {
    if depth == 0 {
        return None;
    }
    match value {
        Value::String(text) => match serde_json::from_str::<Value>(text) {
            // An error within the text of another one.
            Ok(inner @ (Value::Object(_) | Value::Array(_))) => message(&inner, depth - 1),
            _ => Some(plain(text)).filter(|text| !text.is_empty()),
        },
        Value::Array(values) => {
            let all: Vec<String> = values.iter().take(5).filter_map(|value| message(value, depth - 1)).collect();
            (!all.is_empty()).then(|| all.join("; "))
        }
        Value::Object(fields) => {
            let found = MESSAGE_FIELDS.iter().find_map(|field| message(fields.get(*field)?, depth - 1))?;
            // Where the fault is, of a FastAPI server, and what the model's own provider said, of OpenRouter.
            let place: Vec<&str> = value["loc"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let raw = message(&value["metadata"]["raw"], depth - 1);
            Some(match (place.as_slice(), raw) {
                ([], None) => found,
                ([], Some(raw)) => format!("{found}: {raw}"),
                (place, _) => format!("{}: {found}", place.join(".")),
            })
        }
        _ => None,
    }
}

/// The status that an error names, as a number in one of the usual fields.
fn status(value: &Value, depth: usize) -> Option<u16> {
    let number = |value: &Value| {
        let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
        u16::try_from(number).ok().filter(|status| (400..600).contains(status))
    };
    let own =
        ["code", "status", "status_code", "statusCode", "http_code"].iter().find_map(|field| number(&value[*field]));
    own.or_else(|| if depth > 0 { status(value.get("error")?, depth - 1) } else { None })
}

fn add_words(value: &Value, words: &mut String, depth: usize) {
    if depth == 0 || words.len() > MAX_WORDS {
        return;
    }
    match value {
        Value::String(text) => {
            words.push_str(text);
            words.push(' ');
        }
        Value::Array(values) => values.iter().for_each(|value| add_words(value, words, depth - 1)),
        Value::Object(fields) => {
            for (_, value) in fields.iter().filter(|(name, _)| !ECHOES.contains(&name.as_str())) {
                add_words(value, words, depth - 1);
            }
        }
        _ => {}
    }
}

/// A text in one line. Of a page, only what is shown.
fn plain(text: &str) -> String {
    if !text.trim_start().starts_with('<') {
        return one_line(text);
    }
    let (mut shown, mut hidden) = (String::new(), None::<&str>);
    for piece in text.split('<') {
        let (tag, rest) = piece.split_once('>').unwrap_or(("", piece));
        let name = tag.split(|c: char| c.is_whitespace()).next().unwrap_or_default();
        match hidden {
            Some(end) if name == end => hidden = None,
            Some(_) => continue,
            None if name.eq_ignore_ascii_case("style") => hidden = Some("/style"),
            None if name.eq_ignore_ascii_case("script") => hidden = Some("/script"),
            None => {}
        }
        if hidden.is_none() {
            shown.push(' ');
            shown.push_str(rest);
        }
    }
    one_line(&shown)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_message_of_every_form_is_found() {
        for (value, expected) in [
            (json!({"error": {"message": "a", "type": "t", "code": null}}), "a"),
            (json!({"error": "a"}), "a"),
            (json!({"error": {"error": {"message": "a"}}}), "a"),
            (json!([{"error": {"code": 429, "message": "a", "status": "RESOURCE_EXHAUSTED"}}]), "a"),
            (json!({"type": "error", "error": {"type": "overloaded_error", "message": "a"}}), "a"),
            (json!({"object": "error", "message": "a", "code": 400}), "a"),
            (
                json!({"object": "error", "message": {"detail": [{"loc": ["body", "stream_options"], "msg": "a", "input": "b"}]}}),
                "body.stream_options: a",
            ),
            (json!({"detail": "a"}), "a"),
            (json!({"detail": [{"loc": ["body", "x", 0], "msg": "a"}, {"msg": "b"}]}), "body.x: a; b"),
            (json!({"detail": {"error": {"message": "a"}}}), "a"),
            (json!({"errors": [{"message": "a", "code": 7}]}), "a"),
            (json!({"fault": {"faultstring": "a", "detail": {"errorcode": "x"}}}), "a"),
            (json!({"title": "t", "detail": "a", "status": 503}), "a"),
            (json!({"base_resp": {"status_code": 1008, "status_msg": "a"}}), "a"),
            (json!({"message": "a", "code": "InvalidParameter", "request_id": "r"}), "a"),
            (json!({"success": false, "code": 20012, "msg": "a"}), "a"),
            (
                json!({"error": {"message": "Provider returned error", "code": 400, "metadata": {"raw": "{\"error\":{\"message\":\"a\"}}"}}}),
                "Provider returned error: a",
            ),
            (json!({"error": {"message": "{\"error\": {\"message\": \"a\\n  b\"}}"}}), "a b"),
            (
                json!({"error": {"message": "<html><head><style>p {}</style><title>502</title></head><body><h1>Bad\nGateway</h1></body>"}}),
                "502 Bad Gateway",
            ),
            (json!({"error": {"strange": 1}}), "{\"error\":{\"strange\":1}}"),
        ] {
            let found = ErrorDetails::find(&value).unwrap_or_else(|| panic!("{value} is an error"));
            assert_eq!(found.message, expected, "{value}");
        }
        assert_eq!(ErrorDetails::of_body(b"Internal\n Server Error").message, "Internal Server Error");
        assert_eq!(ErrorDetails::of_body(b"").message, "");
    }

    #[test]
    fn answers_are_no_errors() {
        for value in [
            json!({"choices": [{"delta": {"content": "x"}}]}),
            json!({"error": null, "choices": []}),
            json!({"error": "", "choices": []}),
            json!({"error": {"message": "", "type": "", "param": "", "code": null}, "choices": []}),
            json!({"choices": [], "usage": {"prompt_tokens": 1}}),
            json!({"choices": [], "prompt_filter_results": []}),
            json!({"type": "ping"}),
            json!({"code": 200, "message": "success"}),
            json!({"status": "processing", "message": "queued"}),
            json!({"model": "m", "message": {"role": "assistant", "content": "x"}, "done": false}),
            json!({"object": "chat.completion.chunk", "id": "x"}),
            json!({"choices": [{"message": {"content": "x"}}], "base_resp": {"status_code": 0, "status_msg": ""}}),
        ] {
            assert!(ErrorDetails::find(&value).is_none(), "{value}");
        }
    }

    #[test]
    fn what_the_request_said_is_not_heard() {
        let value = json!({"detail": [{"loc": ["body"], "msg": "Extra inputs", "input": {"content": "my API key and the context length"}}]});
        assert_eq!(ErrorDetails::of(value).words.trim(), "body extra inputs");
    }

    #[test]
    fn the_status_is_found_where_it_is_named() {
        for (value, expected) in [
            (json!({"error": {"code": 429}}), Some(429)),
            (json!({"error": {"code": "502"}}), Some(502)),
            (json!({"status": 503, "title": "x"}), Some(503)),
            (json!({"error": {"code": "rate_limit_exceeded"}}), None),
            (json!({"error": {"code": 1302}}), None),
            (json!({"error": "x"}), None),
        ] {
            assert_eq!(ErrorDetails::of(value.clone()).status, expected, "{value}");
        }
    }
}
