//! CORS, for configured origins only. Others get plain answers, which their browsers keep from the page.

use cairn_core::config::LOCAL_ORIGINS;
use poem::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use poem::{Request, Response};

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, X-Request-Id, traceparent",
);
const RESPONSE_HEADERS: HeaderValue =
    HeaderValue::from_static("ETag, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id");

pub(super) struct Cors {
    origins: Vec<HeaderValue>,
    /// Whether pages of servers on the browser's own machine may call the API, whatever their port.
    allows_local: bool,
}

impl Cors {
    pub(super) fn new(origins: &[String]) -> Self {
        let (local, named): (Vec<_>, Vec<_>) = origins.iter().partition(|origin| *origin == LOCAL_ORIGINS);
        let named = named.into_iter().filter_map(|origin| HeaderValue::from_str(origin).ok());
        Self { origins: named.collect(), allows_local: !local.is_empty() }
    }

    /// The origin of the request, if it may read the answer.
    pub(super) fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let is_allowed = |origin: &&HeaderValue| {
            self.origins.contains(origin) || (self.allows_local && origin.to_str().is_ok_and(is_local))
        };
        headers.get(header::ORIGIN).filter(is_allowed).cloned()
    }

    /// The answer, if the request is a browser's question whether it may send another.
    pub(super) fn preflight(&self, request: &Request) -> Option<Response> {
        let asks = request.method() == Method::OPTIONS
            && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let origin = self.allowed(request.headers()).filter(|_| asks)?;
        let mut response = Response::builder().status(StatusCode::NO_CONTENT).finish();
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("7200"));
        self.decorate(headers, Some(origin));
        Some(response)
    }

    pub(super) fn decorate(&self, headers: &mut HeaderMap, origin: Option<HeaderValue>) {
        if self.origins.is_empty() && !self.allows_local {
            return;
        }
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = origin {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, RESPONSE_HEADERS);
        }
    }
}

/// Whether the origin is a server on the machine of the browser: `http://localhost:5173`.
fn is_local(origin: &str) -> bool {
    let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://")).unwrap_or_default();
    let host = match rest.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => host,
        _ => rest,
    };
    ["localhost", "127.0.0.1", "[::1]"].contains(&host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(origins: &[&str], origin: &'static str) -> bool {
        let origins: Vec<String> = origins.iter().map(|&origin| origin.to_owned()).collect();
        let mut headers = HeaderMap::new();
        headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
        Cors::new(&origins).allowed(&headers).is_some()
    }

    #[test]
    fn local_pages_are_allowed_on_request_whatever_their_port() {
        for origin in
            ["http://localhost", "http://localhost:5173", "https://127.0.0.1:8443", "http://[::1]:3000", "http://[::1]"]
        {
            assert!(allowed(&["localhost"], origin), "{origin}");
            assert!(!allowed(&["https://app.example.com"], origin), "{origin}");
        }
        for origin in [
            "http://localhost.example.com",
            "http://localhost:5173.example.com",
            "http://example.com:localhost",
            "http://localhost:99999",
            "localhost",
            "null",
            "http://localhost@example.com",
            "ftp://localhost",
        ] {
            assert!(!allowed(&["localhost"], origin), "{origin}");
        }
        assert!(allowed(&["https://app.example.com", "localhost"], "https://app.example.com"));
    }
}
