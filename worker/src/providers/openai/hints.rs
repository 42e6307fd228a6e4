//! When a provider wants to be asked again: in headers, in the body, and in the words of its message.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::details::ErrorDetails;

/// Longest wait that is taken literally: no reply waits for longer.
pub(super) const MAX_WAIT: Duration = Duration::from_mins(30);

/// Names of the headers with the time at which a limit is reset, beside the one that says how much of it is left.
const LIMITS: [(&str, &str); 8] = [
    ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    ("x-ratelimit-remaining", "x-ratelimit-reset"),
    ("ratelimit-remaining", "ratelimit-reset"),
    ("x-ratelimit-remaining-tokens-minute", "x-ratelimit-reset-tokens-minute"),
    ("x-ratelimit-remaining-requests-minute", "x-ratelimit-reset-requests-minute"),
    ("anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-reset"),
    ("anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"),
];

/// When to ask again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Hints {
    /// What the provider says about this request.
    pub(super) said: Option<Duration>,
    /// When a limit is reset that is used up.
    pub(super) reset: Option<Duration>,
}

impl Hints {
    /// Reads everything that says when to ask again.
    pub(super) fn read(headers: &HeaderMap, details: &ErrorDetails, now: DateTime<Utc>) -> Self {
        let header = |name: &str| headers.get(name)?.to_str().ok();
        let milliseconds =
            header("retry-after-ms").and_then(|value| positive(value.trim().parse::<f64>().ok()? / 1000.0));
        let said = milliseconds
            .or_else(|| header("retry-after").and_then(|value| time(value, now)))
            .or_else(|| in_body(&details.value, now, 6))
            .or_else(|| in_words(&details.words));
        let used_up = LIMITS.iter().filter(|(left, _)| header(left).is_none_or(|left| left.trim() == "0"));
        let reset = used_up.filter_map(|(_, reset)| time(header(reset)?, now)).max();
        Self { said: said.map(|wait| wait.min(MAX_WAIT)), reset: reset.map(|wait| wait.min(MAX_WAIT)) }
    }

    /// What can be read from the words alone, of an error within an answer.
    pub(super) fn within_answer(details: &ErrorDetails, now: DateTime<Utc>) -> Self {
        Self::read(&HeaderMap::new(), details, now)
    }
}

fn positive(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}

/// Reads a time: seconds, a duration such as `1m2.5s` or `20ms`, a date, or seconds or milliseconds since 1970.
fn time(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        let since_1970 = |seconds: f64| {
            #[expect(clippy::cast_precision_loss, reason = "times of this century fit")]
            let now = now.timestamp_millis() as f64 / 1000.0;
            positive(seconds - now)
        };
        return match number {
            1e12.. => since_1970(number / 1000.0),
            1e9.. => since_1970(number),
            _ => positive(number),
        };
    }
    let date = DateTime::parse_from_rfc2822(text).or_else(|_| DateTime::parse_from_rfc3339(text));
    match date {
        Ok(date) => (date.to_utc() - now).to_std().ok(),
        Err(_) => duration(text).filter(|(_, rest)| rest.is_empty()).map(|(wait, _)| wait),
    }
}

/// Reads a duration at the beginning of a text, such as `1m2.5s`, `20 seconds` or `350ms`. Returns the rest as well.
fn duration(text: &str) -> Option<(Duration, &str)> {
    let (mut total, mut rest, mut has_any) = (0.0, text, false);
    loop {
        let trimmed = rest.trim_start();
        let digits = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
        let Ok(number) = trimmed[..digits].trim_end_matches('.').parse::<f64>() else { break };
        let unit_text = trimmed[digits..].trim_start();
        let letters = unit_text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(unit_text.len());
        let seconds = match &unit_text[..letters] {
            "ms" | "millisecond" | "milliseconds" => 0.001,
            "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
            "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
            "h" | "hr" | "hour" | "hours" => 3600.0,
            "d" | "day" | "days" => 86400.0,
            _ => break,
        };
        total += number * seconds;
        has_any = true;
        rest = &unit_text[letters..];
    }
    if has_any { Some((positive(total)?, rest)) } else { None }
}

/// Google's `RetryInfo`, and fields that others use.
fn in_body(value: &Value, now: DateTime<Utc>, depth: usize) -> Option<Duration> {
    if depth == 0 {
        return None;
    }
    match value {
        Value::Object(fields) => {
            let own = fields.iter().find_map(|(name, value)| {
                let is_reset = name.eq_ignore_ascii_case("x-ratelimit-reset");
                let read = match value {
                    Value::String(text) => time(text, now),
                    Value::Number(number) => time(&number.to_string(), now),
                    _ => None,
                };
                match name.to_ascii_lowercase().as_str() {
                    "retrydelay"
                    | "retry_delay"
                    | "retry_after"
                    | "retry-after"
                    | "retryafter"
                    | "retry_after_seconds" => read,
                    "retry_after_ms" | "retryafterms" => read.map(|wait| wait / 1000),
                    _ if is_reset => read,
                    _ => None,
                }
            });
            own.or_else(|| fields.values().find_map(|value| in_body(value, now, depth - 1)))
        }
        Value::Array(values) => values.iter().find_map(|value| in_body(value, now, depth - 1)),
        // An error within the text of another one.
        Value::String(text) if text.trim_start().starts_with(['{', '[']) => {
            in_body(&serde_json::from_str(text).ok()?, now, depth - 1)
        }
        _ => None,
    }
}

/// What precedes a time in the words of a message.
const PHRASES: [&str; 9] = [
    "try again in",
    "try again after",
    "retry in",
    "retry after",
    "retry your request after",
    "again in about",
    "reset in",
    "resets in",
    "wait",
];

fn in_words(words: &str) -> Option<Duration> {
    PHRASES.iter().find_map(|phrase| {
        words.match_indices(phrase).find_map(|(at, _)| {
            let rest = words[at + phrase.len()..].trim_start_matches([' ', ':', '~']);
            duration(rest).map(|(wait, _)| wait)
        })
    })
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderName;
    use serde_json::json;

    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    fn read(headers: &[(&str, &str)], body: &Value) -> Hints {
        let headers = headers.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap()));
        Hints::read(&headers.collect::<HeaderMap>(), &ErrorDetails::of(body.clone()), now())
    }

    #[test]
    fn headers_are_read_in_every_form_and_bounded() {
        let said = |name: &str, value: &str| read(&[(name, value)], &json!({})).said.map(|wait| wait.as_secs_f64());
        for (name, value, expected) in [
            ("retry-after", "7", Some(7.0)),
            ("retry-after", "0.5", Some(0.5)),
            ("retry-after", "20s", Some(20.0)),
            ("retry-after", "86400", Some(1800.0)),
            ("retry-after", "Sun, 01 Mar 2026 12:01:30 GMT", Some(90.0)),
            ("retry-after", "2026-03-01T12:00:10Z", Some(10.0)),
            ("retry-after-ms", "1500", Some(1.5)),
            ("retry-after", "-1", None),
            ("retry-after", "soon", None),
            ("retry-after", "1e99", None),
            ("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT", None),
        ] {
            assert_eq!(said(name, value), expected, "{name}: {value}");
        }
    }

    #[test]
    fn a_limit_counts_if_it_is_used_up() {
        let reset = |headers: &[(&str, &str)]| read(headers, &json!({})).reset.map(|wait| wait.as_secs_f64());
        // https://platform.openai.com/docs/guides/rate-limits
        let openai = [
            ("x-ratelimit-remaining-requests", "59"),
            ("x-ratelimit-reset-requests", "1s"),
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-tokens", "6m0s"),
        ];
        assert_eq!(reset(&openai), Some(360.0));
        assert_eq!(reset(&openai[..2]), None, "there are requests left");
        assert_eq!(reset(&[("x-ratelimit-reset-requests", "350ms")]), Some(0.35));
        // Groq, with fractions; OpenRouter, in milliseconds since 1970; others, in seconds since 1970.
        assert_eq!(reset(&[("x-ratelimit-reset-tokens", "7.66s")]), Some(7.66));
        assert_eq!(reset(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1772366430000")]), Some(30.0));
        assert_eq!(reset(&[("x-ratelimit-reset", "1772366410")]), Some(10.0));
        assert_eq!(reset(&[("anthropic-ratelimit-tokens-reset", "2026-03-01T12:00:20Z")]), Some(20.0));
        assert_eq!(reset(&[("x-ratelimit-reset", "1772366390")]), None, "in the past");
    }

    #[test]
    fn bodies_and_messages_say_when_to_ask_again() {
        let said = |body: &Value| read(&[], body).said.map(|wait| wait.as_secs_f64());
        for (body, expected) in [
            // Gemini: https://ai.google.dev/gemini-api/docs/rate-limits
            (
                json!([{"error": {"code": 429, "message": "You exceeded your current quota", "status": "RESOURCE_EXHAUSTED", "details": [
                    {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": "x"}]},
                    {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "36s"}]}}]),
                Some(36.0),
            ),
            (
                json!({"error": {"message": "Rate limit reached for gpt-4o in organization org-x on tokens per min. Please try again in 1m2.5s. Visit"}}),
                Some(62.5),
            ),
            (json!({"error": {"message": "Please try again in 350ms."}}), Some(0.35)),
            (json!({"error": {"message": "Please retry in 36.215s."}}), Some(36.215)),
            // Azure OpenAI.
            (
                json!({"error": {"code": "429", "message": "Requests to the API have exceeded the limit. Please retry after 20 seconds."}}),
                Some(20.0),
            ),
            (
                json!({"error": {"message": "x", "metadata": {"headers": {"X-RateLimit-Reset": "1772366430000"}}}}),
                Some(30.0),
            ),
            (json!({"error": {"message": "x", "metadata": {"raw": "{\"error\":{\"retry_after\":5}}"}}}), Some(5.0)),
            (json!({"error": {"message": "Please wait 2 minutes"}}), Some(120.0)),
            (json!({"error": {"message": "Please wait, then try again later"}}), None),
            (json!({"error": {"message": "try again in a moment"}}), None),
            (json!({"error": {"message": "Retry in 5 apples"}}), None),
        ] {
            assert_eq!(said(&body), expected, "{body}");
        }
    }
}
