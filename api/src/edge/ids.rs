//! The names of a request: its id, and the W3C trace that it belongs to.

use cairn_core::clock::new_id;
use poem::http::HeaderMap;

/// The client's `X-Request-Id` if it is sane, else a new one.
pub(super) fn request_id(headers: &HeaderMap) -> String {
    let sent = headers.get("x-request-id").and_then(|value| value.to_str().ok());
    sent.filter(|id| (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()))
        .map_or_else(|| new_id().to_string(), str::to_owned)
}

/// The client's `traceparent` if it is one, else a new trace (<https://www.w3.org/TR/trace-context/>).
pub(super) fn traceparent(headers: &HeaderMap) -> String {
    let sent = headers.get("traceparent").and_then(|value| value.to_str().ok());
    sent.filter(|value| is_traceparent(value)).map_or_else(new_traceparent, str::to_owned)
}

fn new_traceparent() -> String {
    let span = new_id().simple().to_string();
    format!("00-{}-{}-01", new_id().simple(), &span[16..])
}

fn is_traceparent(value: &str) -> bool {
    let parts: Vec<&str> = value.split('-').collect();
    let [version, trace, parent, flags] = parts[..] else { return false };
    let hex = |part: &str, length| {
        part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    version == "00" && hex(trace, 32) && !zero(trace) && hex(parent, 16) && !zero(parent) && hex(flags, 2)
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

    #[test]
    fn only_a_well_formed_traceparent_is_kept() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(traceparent(&headers("traceparent", good)), good);
        for bad in [
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "x",
        ] {
            let made = traceparent(&headers("traceparent", bad));
            assert_ne!(made, bad);
            assert!(is_traceparent(&made), "{made}");
        }
    }
}
