//! What browsers, proxies and caches may do with an answer.

use poem::http::{HeaderMap, HeaderName, HeaderValue, header};

/// An answer is data, whatever a browser takes it for: it loads nothing, sends nothing and is shown in no frame. Pages for
/// people have a policy of their own.
const POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");

/// What every answer says.
const FIXED: [(HeaderName, HeaderValue); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    // For browsers that do not know `frame-ancestors`.
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
];

/// Paths below which answers have tokens, or data about people who are not in front of the browser, or what somebody wrote in
/// private: no browser or proxy keeps them.
const PRIVATE: [&str; 9] = [
    "/v1/auth",
    "/v1/me",
    "/v1/tools",
    "/v1/replies",
    "/v1/mentor",
    "/v1/admin/users",
    "/v1/admin/chats",
    "/v1/admin/activity",
    "/v1/admin/invites",
];

/// The headers that every answer gets.
pub(super) struct SecurityHeaders {
    strict_transport: Option<HeaderValue>,
}

impl SecurityHeaders {
    /// `hsts_seconds` is for how long browsers use TLS only; with 0 they are not told.
    pub(super) fn new(hsts_seconds: u32) -> Self {
        let value = || HeaderValue::from_str(&format!("max-age={hsts_seconds}; includeSubDomains")).ok();
        Self { strict_transport: Some(hsts_seconds).filter(|seconds| *seconds > 0).and_then(|_| value()) }
    }

    /// Adds the headers to those of the answer to a request for `path`.
    pub(super) fn add(&self, headers: &mut HeaderMap, path: &str) {
        headers.extend(FIXED.map(|(name, value)| (Some(name), value)));
        headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(POLICY);
        if let Some(value) = &self.strict_transport {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, value.clone());
        }
        // What has no tag cannot be asked for again by it, so there is nothing to gain from keeping it.
        let is_kept = headers.contains_key(header::ETAG) && !is_private(path);
        let caching = if is_kept { "private, no-cache" } else { "no-store" };
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static(caching));
    }
}

fn is_private(path: &str) -> bool {
    PRIVATE.iter().any(|start| path.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(hsts_seconds: u32, path: &str, present: &[(HeaderName, &'static str)]) -> HeaderMap {
        let mut headers: HeaderMap =
            present.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect();
        SecurityHeaders::new(hsts_seconds).add(&mut headers, path);
        headers
    }

    #[test]
    fn browsers_are_told_to_use_tls_only_where_it_is_configured() {
        let header = |seconds| added(seconds, "/v1/styles", &[]).remove(header::STRICT_TRANSPORT_SECURITY);
        assert_eq!(header(0), None);
        assert_eq!(header(31_536_000).unwrap(), "max-age=31536000; includeSubDomains");
    }

    #[test]
    fn only_what_can_be_asked_for_again_is_kept_and_nothing_private() {
        let caching = |path, present: &[_]| added(0, path, present).remove(header::CACHE_CONTROL).unwrap();
        assert_eq!(caching("/v1/styles", &[(header::ETAG, "\"1\"")]), "private, no-cache");
        assert_eq!(caching("/v1/styles", &[]), "no-store");
        assert_eq!(caching("/v1/media", &[(header::ETAG, "\"1\"")]), "private, no-cache");
        for path in ["/v1/me", "/v1/me/sessions", "/v1/auth/login", "/v1/admin/users/x"] {
            assert_eq!(caching(path, &[(header::ETAG, "\"1\"")]), "no-store", "{path}");
        }
        assert_eq!(caching("/docs", &[(header::CACHE_CONTROL, "public, no-cache")]), "public, no-cache");
    }
}
