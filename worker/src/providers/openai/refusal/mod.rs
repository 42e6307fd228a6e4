//! What an error of a provider means. Facts decide first: the status, and whether the provider says when to ask again. Words
//! decide where a status has several meanings, and where there is none, as for errors within an answer.

use cairn_core::clock::Clock;
use cairn_core::config::Secret;
use cairn_core::tools::Reason;
use reqwest::Response;
use serde_json::Value;

use super::super::answer::Failure;
use super::details::ErrorDetails;
use super::hints::Hints;
use super::redact::redacted;
use super::wordings::{
    CONTENT_REFUSED, CONTEXT_TOO_LONG, INVALID, KEY_WRONG, MODEL_NOT_FOUND, OVERLOADED, QUOTA_USED_UP, RATE_LIMITED,
};

/// Most bytes of an error body that are read.
const MAX_BODY: usize = 64 * 1024;

/// Most characters of a provider's message that are kept.
const MAX_DETAIL: usize = 300;

/// An error response.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) details: ErrorDetails,
    pub(super) failure: Failure,
}

/// Reads a response with an error status.
pub(super) async fn read(mut response: Response, key: Option<&Secret>) -> Refusal {
    let status = response.status().as_u16();
    let headers = std::mem::take(response.headers_mut());
    let mut body = Vec::new();
    // If the body cannot be read to its end, the status still counts.
    while body.len() < MAX_BODY
        && let Ok(Some(chunk)) = response.chunk().await
    {
        body.extend_from_slice(&chunk);
    }
    let details = ErrorDetails::of_body(&body);
    let hints = Hints::read(&headers, &details, Clock::default().now());
    let failure = Failure {
        reason: reason(status, hints.said.is_some(), &details.words),
        after: hints.said.or(hints.reset),
        detail: detail(&format!("HTTP {status}: {}", details.message), key),
    };
    Refusal { status, details, failure }
}

/// The meaning of an error object in place of an answer or within a stream; `None` if the value is not an error.
pub(super) fn in_answer(value: &Value) -> Option<Failure> {
    ErrorDetails::find(value).map(|details| failure(&details))
}

/// The meaning of an error without a status of its own.
pub(super) fn failure(details: &ErrorDetails) -> Failure {
    let hints = Hints::within_answer(details, Clock::default().now());
    let reason = match details.status {
        Some(status) => reason(status, hints.said.is_some(), &details.words),
        None => reason_of_words(hints.said.is_some(), &details.words),
    };
    Failure { after: hints.said, ..Failure::new(reason, detail(&details.message, None)) }
}

/// What is kept of a message: without secrets, and bounded.
pub(super) fn detail(message: &str, key: Option<&Secret>) -> String {
    redacted(message, key).chars().take(MAX_DETAIL).collect()
}

fn says(said: &str, wordings: &[&str]) -> bool {
    wordings.iter().any(|wording| said.contains(wording))
}

/// The only place that interprets a status. `is_timed` is whether the provider says when to ask again.
fn reason(status: u16, is_timed: bool, said: &str) -> Reason {
    match status {
        402 | 429 | 498 if is_timed => Reason::RateLimited,
        // A request that exceeds a limit by itself never fits.
        429 if says(said, &["must be reduced in order to run", "reduce your message size"]) => Reason::ContextTooLong,
        429 if says(said, QUOTA_USED_UP) => Reason::ProviderQuota,
        429 | 498 => Reason::RateLimited,
        402 => Reason::ProviderQuota,
        401 | 407 => Reason::Unauthorized,
        413 => Reason::ContextTooLong,
        500 if says(said, CONTEXT_TOO_LONG) => Reason::ContextTooLong,
        408 | 409 | 425 | 500..=599 => Reason::ProviderError,
        _ => reason_of_request(said).unwrap_or(match status {
            403 => Reason::Unauthorized,
            404 | 405 | 410 => Reason::ModelNotFound,
            _ if says(said, INVALID) => Reason::BadRequest,
            _ if says(said, RATE_LIMITED) => Reason::RateLimited,
            _ if says(said, OVERLOADED) => Reason::ProviderError,
            _ => Reason::BadRequest,
        }),
    }
}

/// What is wrong with a request that was rejected, by the words of the error.
fn reason_of_request(said: &str) -> Option<Reason> {
    let meanings = [
        (CONTEXT_TOO_LONG, Reason::ContextTooLong),
        (KEY_WRONG, Reason::Unauthorized),
        (QUOTA_USED_UP, Reason::ProviderQuota),
        (CONTENT_REFUSED, Reason::ContentFilter),
        (MODEL_NOT_FOUND, Reason::ModelNotFound),
    ];
    meanings.into_iter().find(|(wordings, _)| says(said, wordings)).map(|(_, reason)| reason)
}

/// The meaning of an error that names no status.
fn reason_of_words(is_timed: bool, said: &str) -> Reason {
    if is_timed {
        return Reason::RateLimited;
    }
    if says(said, RATE_LIMITED) {
        return if says(said, QUOTA_USED_UP) { Reason::ProviderQuota } else { Reason::RateLimited };
    }
    match reason_of_request(said) {
        Some(reason) => reason,
        None if says(said, OVERLOADED) => Reason::ProviderError,
        None if says(said, INVALID) => Reason::BadRequest,
        None => Reason::ProviderError,
    }
}

#[cfg(test)]
mod tests;
