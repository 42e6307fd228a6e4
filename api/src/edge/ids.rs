//! The names of a request: its id, and the W3C trace that it belongs to.

use cairn_core::clock::new_id;
use poem::http::HeaderMap;

/// The client's `X-Request-Id` if it is sane, else a new one.
pub(super) fn request_id(headers: &HeaderMap) -> String {
    let sent = headers.get("x-request-id").and_then(|value| value.to_str().ok());
    sent.filter(|id| (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()))
        .map_or_else(|| new_id().to_string(), str::to_owned)
}

/// The client's `traceparent`, whatever it holds.
pub(super) fn traceparent(headers: &HeaderMap) -> Option<&str> {
    headers.get("traceparent").and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    #[test]
    fn a_sane_request_id_is_kept() {
        assert_eq!(request_id(&headers("x-request-id", "abc-1")), "abc-1");
        let long = "x".repeat(129);
        for odd in ["", "a b", long.as_str()] {
            assert_ne!(request_id(&headers("x-request-id", odd)), odd);
        }
    }
}
