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
    CONTENT_REFUSED, CONTEXT_TOO_LONG, INVALID, KEY_WRONG, LIMITED_FOR_A_WHILE, MODEL_NOT_FOUND, OVERLOADED,
    QUOTA_USED_UP, RATE_LIMITED,
};

/// Most bytes of an error body that are read.
const MAX_BODY: usize = 64 * 1024;

/// Most characters of a provider's message that are kept.
const MAX_DETAIL: usize = 300;

/// Most characters of a message within an answer, before the key is removed from it.
const MAX_WITHIN: usize = 2000;

/// An error response, or an error in place of an answer or within one.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The status of the response, or the one that the error names; 400 if there is none, because the request was accepted at first.
    pub(super) status: u16,
    pub(super) details: ErrorDetails,
    pub(super) failure: Failure,
}

impl Refusal {
    /// The meaning of an error without a response of its own.
    pub(super) fn of(details: ErrorDetails) -> Self {
        let hints = Hints::within_answer(&details, Clock::default().now());
        let reason = match details.status {
            Some(status) => reason(status, hints.said.is_some(), &details.words),
            None => reason_of_words(hints.said.is_some(), &details.words),
        };
        let failure = Failure { after: hints.said, ..Failure::new(reason, within(&details.message)) };
        Self { status: details.status.unwrap_or(400), details, failure }
    }

    /// The meaning of an error object in place of an answer or within a stream; `None` if the value is not an error.
    pub(super) fn find(value: &Value) -> Option<Self> {
        ErrorDetails::find(value).map(Self::of)
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self { status: 400, details: ErrorDetails::default(), failure }
    }
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

/// What is kept of a message: without secrets, and bounded.
pub(super) fn detail(message: &str, key: Option<&Secret>) -> String {
    redacted(message, key).chars().take(MAX_DETAIL).collect()
}

/// The same of a message within an answer. The key is removed later, so the message is not cut where that might cut the key.
pub(super) fn within(message: &str) -> String {
    redacted(message, None).chars().take(MAX_WITHIN).collect()
}

fn says(said: &str, wordings: &[&str]) -> bool {
    wordings.iter().any(|wording| said.contains(wording))
}

/// The only place that interprets a status. `is_timed` is whether the provider says when to ask again.
fn reason(status: u16, is_timed: bool, said: &str) -> Reason {
    match status {
        // A request that exceeds a limit by itself never fits, and a model of which nothing is granted has no use of waiting.
        429 if says(said, &["must be reduced in order to run", "reduce your message size"]) => Reason::ContextTooLong,
        429 if said.contains("limit: 0,") => Reason::ProviderQuota,
        402 | 429 | 498 if is_timed => Reason::RateLimited,
        400 | 429 | 500 | 503 if says(said, LIMITED_FOR_A_WHILE) => Reason::RateLimited,
        429 if says(said, QUOTA_USED_UP) => Reason::ProviderQuota,
        429 | 498 => Reason::RateLimited,
        402 => Reason::ProviderQuota,
        401 | 407 => Reason::Unauthorized,
        413 => Reason::ContextTooLong,
        500 if says(said, CONTEXT_TOO_LONG) => Reason::ContextTooLong,
        408 | 409 | 425 | 499..=599 => Reason::ProviderError,
        _ => reason_of_request(said).unwrap_or(match status {
            403 if is_timed || says(said, RATE_LIMITED) => Reason::RateLimited,
            403 => Reason::Unauthorized,
            424 => Reason::ProviderError, // what the server depends on has failed (TGI)
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
    if is_timed || says(said, LIMITED_FOR_A_WHILE) {
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
