//! The meaning of providers' errors, in all of their formats.
//!
//! | provider | format |
//! |---|---|
//! | OpenAI, Ollama | `{"error": {"message", "type", "param", "code": "text" or null}}` |
//! | OpenRouter | `{"error": {"message", "code": 429, "metadata"}}`, also with status 200 |
//! | vLLM | `{"object": "error", "message", "type", "code": 400}`, in an envelope in newer versions |
//! | llama.cpp | `{"error": {"message", "type", "code": 400}}` |
//! | others | `{"error": "text"}`, `{"detail": "text"}`, a list that contains one of these, or no JSON at all |

use std::time::Duration;

use cairn_core::clock::Clock;
use cairn_core::config::Secret;
use cairn_core::tools::Reason;
use chrono::DateTime;
use reqwest::Response;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde_json::Value;

use super::{Failure, without_key};

/// Most bytes of an error body that are read.
const MAX_BODY: usize = 64 * 1024;

/// Most characters of a provider's message that are kept.
const MAX_DETAIL: usize = 300;

/// Longest wait that a provider can request. After it, another attempt is worthwhile in any case.
const MAX_WAIT: Duration = Duration::from_mins(10);

/// The meaning of a response with an error status.
pub(super) async fn read(mut response: Response, key: Option<&Secret>) -> Failure {
    let status = response.status().as_u16();
    let after = retry_after(response.headers());
    let mut body = Vec::new();
    // If the body cannot be read to its end, the status still counts.
    while body.len() < MAX_BODY
        && let Ok(Some(chunk)) = response.chunk().await
    {
        body.extend_from_slice(&chunk);
    }
    let details = match serde_json::from_slice::<Value>(&body) {
        Ok(value) => ErrorDetails::find(&value).unwrap_or_default(),
        Err(_) => ErrorDetails { message: String::from_utf8_lossy(&body).into_owned(), ..ErrorDetails::default() },
    };
    without_key(failure(status, after, &details), key)
}

/// The meaning of an error object in place of an answer or within a stream; `None` if the value is not an error.
pub(super) fn in_answer(value: &Value) -> Option<Failure> {
    let details = ErrorDetails::find(value).filter(|_| value["choices"].is_null() || !value["error"].is_null())?;
    let said = details.words();
    let status = match details.code.parse() {
        Ok(status @ 400..=599) => status,
        _ if said.contains("rate_limit") || said.contains("rate limit") => 429,
        _ if said.contains("invalid_request") || said.contains("badrequest") => 400,
        _ => 500,
    };
    Some(failure(status, None, &details))
}

/// What a provider says about an error.
#[derive(Debug, Default)]
struct ErrorDetails {
    message: String,
    code: String,
    kind: String,
}

impl ErrorDetails {
    fn find(value: &Value) -> Option<Self> {
        let value = value.get(0).unwrap_or(value);
        let error = match value.get("error") {
            Some(Value::Null) | None if value["object"] == "error" || value.get("detail").is_some() => value,
            Some(Value::Null) | None => return None,
            Some(error) => error,
        };
        let text = |value: &Value| match value {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        let message = match error {
            Value::String(message) => message.clone(),
            error => text(error.get("message").or(error.get("detail")).unwrap_or(&Value::Null)),
        };
        Some(Self { message, code: text(&error["code"]), kind: text(&error["type"]) })
    }

    fn words(&self) -> String {
        format!("{} {} {}", self.code, self.kind, self.message).to_lowercase()
    }
}

/// The only place that interprets a status and its message. The message counts first, because servers disagree on statuses.
fn failure(status: u16, after: Option<Duration>, details: &ErrorDetails) -> Failure {
    let said = details.words();
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let reason = match status {
        // Checked first, because the message of a limit on tokens per minute mentions tokens as well.
        429 if says(&["insufficient_quota", "current quota", "billing"]) => Reason::ProviderQuota,
        429 => Reason::RateLimited,
        _ if says(&["context_length", "exceed_context_size", "context size", "maximum context length"]) => {
            Reason::ContextTooLong
        }
        413 => Reason::ContextTooLong,
        402 if after.is_some() => Reason::RateLimited,
        402 => Reason::ProviderQuota,
        400 | 403 | 422 | 451
            if says(&["content_filter", "content_policy", "moderation", "flagged", "safety system"]) =>
        {
            Reason::ContentFilter
        }
        401 | 403 => Reason::Unauthorized,
        404 | 410 => Reason::ModelNotFound,
        400 | 422 if says(&["model_not_found", "not a valid model"]) => Reason::ModelNotFound,
        408 | 409 | 425 | 500.. => Reason::ProviderError,
        _ => Reason::BadRequest,
    };
    let message: String = details.message.split_whitespace().collect::<Vec<_>>().join(" ");
    let message: String = message.chars().take(MAX_DETAIL).collect();
    Failure { reason, after, detail: format!("HTTP {status}: {message}") }
}

/// Reads a `Retry-After` header: a number of seconds or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match value.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok()?,
        Err(_) => (DateTime::parse_from_rfc2822(value).ok()?.to_utc() - Clock::default().now()).to_std().ok()?,
    };
    Some(wait.min(MAX_WAIT))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reason(status: u16, body: &Value) -> Reason {
        failure(status, None, &ErrorDetails::find(body).unwrap_or_default()).reason
    }

    #[test]
    fn errors_mean_the_same_in_every_format() {
        let cases = [
            (
                429,
                json!({"error": {"message": "Slow down", "type": "requests", "code": "rate_limit_exceeded"}}),
                Reason::RateLimited,
            ),
            (
                429,
                json!({"error": {"message": "Request too large: tokens per min, see maximum context length", "code": "rate_limit_exceeded"}}),
                Reason::RateLimited,
            ),
            (
                429,
                json!({"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}),
                Reason::ProviderQuota,
            ),
            (402, json!({"error": {"message": "More credits", "code": 402}}), Reason::ProviderQuota),
            (401, json!({"error": {"message": "Incorrect API key", "code": "invalid_api_key"}}), Reason::Unauthorized),
            (403, json!({"error": {"message": "Your input was flagged", "code": 403}}), Reason::ContentFilter),
            (403, json!({"error": {"message": "No access", "code": 403}}), Reason::Unauthorized),
            (
                404,
                json!({"error": {"message": "model \"x\" not found", "type": "not_found_error", "code": null}}),
                Reason::ModelNotFound,
            ),
            (400, json!({"error": {"message": "x is not a valid model ID", "code": 400}}), Reason::ModelNotFound),
            (
                400,
                json!({"object": "error", "message": "This model's maximum context length is 10", "type": "BadRequestError", "code": 400}),
                Reason::ContextTooLong,
            ),
            (
                400,
                json!({"error": {"code": 400, "message": "too large", "type": "exceed_context_size_error"}}),
                Reason::ContextTooLong,
            ),
            (
                500,
                json!({"error": {"code": 500, "message": "the request exceeds the available context size"}}),
                Reason::ContextTooLong,
            ),
            (400, json!({"error": {"message": "rejected", "code": "content_policy_violation"}}), Reason::ContentFilter),
            (400, json!({"error": {"message": "max_tokens must be at least 1"}}), Reason::BadRequest),
            (422, json!({"detail": [{"loc": ["body"], "msg": "field required"}]}), Reason::BadRequest),
            (
                503,
                json!({"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}),
                Reason::ProviderError,
            ),
            (529, json!({"error": "overloaded"}), Reason::ProviderError),
            (307, json!({}), Reason::BadRequest),
        ];
        for (status, body, expected) in cases {
            assert_eq!(reason(status, &body), expected, "{status} {body}");
        }
    }

    #[test]
    fn an_error_inside_an_answer_is_found() {
        let found = |body: Value| in_answer(&body).map(|failure| failure.reason);
        let piece = json!({"choices": [{"delta": {"content": "x"}}]});
        assert_eq!(found(piece.clone()), None);
        assert_eq!(found(json!({"error": null, "choices": []})), None);
        assert_eq!(
            found(json!({"error": {"code": 502, "message": "x"}, "choices": [{"finish_reason": "error"}]})),
            Some(Reason::ProviderError)
        );
        assert_eq!(found(json!({"error": {"code": 429, "message": "x"}})), Some(Reason::RateLimited));
        assert_eq!(
            found(json!({"error": {"type": "invalid_request_error", "message": "x"}})),
            Some(Reason::BadRequest)
        );
        assert_eq!(found(json!({"object": "error", "message": "x", "code": 400})), Some(Reason::BadRequest));
        assert_eq!(found(json!({"error": "something"})), Some(Reason::ProviderError));
        assert_eq!(found(json!([{"error": {"code": 401, "message": "x"}}])), Some(Reason::Unauthorized));
    }

    #[test]
    fn retry_after_is_read_in_both_forms_and_bounded() {
        let wait = |value: &str| retry_after(&HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]));
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("0.5"), Some(Duration::from_millis(500)));
        assert_eq!(wait("86400"), Some(MAX_WAIT));
        let date = Clock::default().now() + chrono::TimeDelta::seconds(90);
        let seconds = wait(&date.format("%a, %d %b %Y %H:%M:%S GMT").to_string()).unwrap().as_secs();
        assert!((80..=90).contains(&seconds), "{seconds}");
        for value in ["-1", "soon", "1e99", "Wed, 21 Oct 2015 07:28:00 GMT"] {
            assert_eq!(wait(value), None, "{value}");
        }
    }

    #[test]
    fn messages_are_bounded_and_contain_no_key() {
        let details = ErrorDetails { message: format!("key sk-1 {}", "x".repeat(10_000)), ..ErrorDetails::default() };
        let failure = without_key(failure(401, None, &details), Some(&Secret::new("sk-1")));
        assert!(failure.detail.starts_with("HTTP 401: key [redacted] x") && failure.detail.len() < 400);
    }
}
