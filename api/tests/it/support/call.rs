//! One request and its response.

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use poem::http::{HeaderMap, Method, StatusCode};
use poem::{Endpoint, Request, Response};
use serde_json::Value;

use super::{Follow, TestApp, contract};

/// A body that is read as it arrives.
pub(crate) type Bytes = BoxStream<'static, std::io::Result<Vec<u8>>>;

/// A request that is sent when awaited.
pub(crate) struct Call {
    app: TestApp,
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    invalid: bool,
    is_preflight: bool,
    is_unread: bool,
}

/// A response. It has been checked against the document.
#[derive(Debug)]
pub(crate) struct Reply {
    /// The status.
    pub(crate) status: StatusCode,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body as text.
    pub(crate) text: String,
    /// The body; `null` if it is not JSON.
    pub(crate) json: Value,
}

impl Call {
    pub(super) fn new(app: TestApp, method: Method, path: &str) -> Self {
        Self {
            app,
            method,
            path: path.to_owned(),
            headers: Vec::new(),
            body: None,
            invalid: false,
            is_preflight: false,
            is_unread: false,
        }
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Whether it has that header already.
    pub(crate) fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|(known, _)| known == name)
    }

    /// Sends a JSON body.
    #[expect(clippy::needless_pass_by_value, reason = "json!(..) is what callers write")]
    pub(crate) fn json(self, body: Value) -> Self {
        self.header("Content-Type", "application/json").raw(body.to_string())
    }

    /// Sends these bytes as the body.
    pub(crate) fn raw(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Declares that the request violates the document, so the response must be a 4xx. Without this, such a request
    /// fails the test.
    pub(crate) fn invalid(mut self) -> Self {
        self.invalid = true;
        self
    }

    /// Declares that this is a preflight request of a browser, which the document does not describe.
    pub(crate) fn preflight(mut self) -> Self {
        self.is_preflight = true;
        self
    }

    /// Closes a stream as soon as it is open, because it would not end.
    pub(crate) fn unread(mut self) -> Self {
        self.is_unread = true;
        self
    }

    /// Opens a stream. The response must be 200.
    pub(crate) async fn follow(self) -> Follow {
        let (app, operation) = (self.app.clone(), contract::find(&self.method, &self.path).unwrap());
        let response = self.response().await;
        assert_eq!(response.status(), StatusCode::OK, "{response:?}");
        assert_eq!(response.content_type(), Some("text/event-stream"));
        let schema = operation.event_schema();
        app.exercised.lock().unwrap().insert(operation.id);
        Follow::new(bytes(response), schema)
    }

    /// The body of the response as it arrives.
    pub(crate) async fn body(self) -> Bytes {
        bytes(self.response().await)
    }

    /// Sends the request, which must match the document unless it was declared invalid.
    async fn response(self) -> Response {
        let Self { app, method, path, headers, body, invalid, is_preflight, .. } = self;
        if !invalid && !is_preflight {
            let operation = contract::find(&method, &path);
            contract::check_request(operation.as_ref(), &method, &path, &headers, body.as_deref());
        }
        let mut request = Request::builder().method(method).uri_str(&path);
        for (name, value) in &headers {
            request = request.header(name, value);
        }
        let request = request.body(body.unwrap_or_default());
        app.endpoint.call(request).await.expect("the edge makes every error an answer")
    }

    async fn send(self) -> Reply {
        let (app, method, path) = (self.app.clone(), self.method.clone(), self.path.clone());
        let (invalid, is_preflight, is_unread) = (self.invalid, self.is_preflight, self.is_unread);
        let operation = contract::find(&method, &path);
        let response = self.response().await;
        let is_closed = is_unread && response.content_type() == Some("text/event-stream");
        let (parts, body) = response.into_parts();
        let text = if is_closed { String::new() } else { body.into_string().await.expect("the body is text") };
        let json = serde_json::from_str(&text).unwrap_or_default();
        let reply = Reply { status: parts.status, headers: parts.headers, text, json };
        check_headers(&method, &path, &reply);
        if invalid {
            assert!(reply.status.is_client_error(), "{method} {path} is invalid, but got {reply:#?}");
        }
        if is_preflight {
            return reply;
        }
        contract::check_reply(operation.as_ref(), &method, &path, &reply).await;
        if let Some(operation) = operation.filter(|_| reply.status.is_success()) {
            app.exercised.lock().unwrap().insert(operation.id);
        }
        reply
    }
}

impl IntoFuture for Call {
    type Output = Reply;
    type IntoFuture = Pin<Box<dyn Future<Output = Reply> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl Reply {
    /// Asserts that the response has that status, and returns it.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{self:#?}");
        self
    }

    /// Asserts that the response is a problem with that code, and returns it.
    #[track_caller]
    pub(crate) fn problem(self, code: &str) -> Self {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:#?}");
        assert_eq!(self.json["code"], code, "{self:#?}");
        self
    }

    /// Asserts that the problem lists exactly these faults: JSON pointers or names of parameters, with their codes.
    #[track_caller]
    pub(crate) fn blames(self, expected: &[(&str, &str)]) -> Self {
        let errors = self.json["errors"].as_array().cloned().unwrap_or_default();
        let blamed: Vec<(&str, &str)> = errors
            .iter()
            .map(|error| {
                let place = error["pointer"].as_str().or(error["parameter"].as_str()).unwrap_or_default();
                (place, error["code"].as_str().unwrap_or_default())
            })
            .collect();
        assert_eq!(blamed, expected, "{self:#?}");
        self
    }

    /// The value of a header; empty if it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

/// What every answer must say to browsers and caches, whatever it is.
fn check_headers(method: &Method, path: &str, reply: &Reply) {
    let header = |name| reply.header(name);
    assert_eq!(header("x-content-type-options"), "nosniff", "{method} {path}");
    assert_eq!(header("referrer-policy"), "no-referrer", "{method} {path}");
    assert_eq!(header("x-frame-options"), "DENY", "{method} {path}");
    let (policy, caching) = (header("content-security-policy"), header("cache-control"));
    assert!(
        policy.starts_with("default-src '") && policy.contains("frame-ancestors 'none'"),
        "{method} {path}: {policy}"
    );
    assert!(
        ["no-store", "no-cache", "private, no-cache", "public, no-cache"].contains(&caching),
        "{method} {path}: {caching}"
    );
    let is_page = header("content-type").starts_with("text/html") || !path.starts_with("/v1");
    assert!(is_page || policy.starts_with("default-src 'none'"), "{method} {path}: {policy}");
    assert!(is_page || !caching.starts_with("public"), "{method} {path}: {caching}");
    if !is_page && has_secret(&reply.json) {
        assert_eq!(caching, "no-store", "{method} {path} answers with a secret");
    }
}

/// Whether a value gives its holder the rights of somebody.
fn has_secret(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(has_secret),
        Value::Object(members) => members.iter().any(|(name, value)| {
            ["access_token", "refresh_token", "token", "invite_code"].contains(&name.as_str()) && value.is_string()
                || has_secret(value)
        }),
        _ => false,
    }
}

fn bytes(response: Response) -> Bytes {
    response.into_body().into_bytes_stream().map(|bytes| bytes.map(|bytes| bytes.to_vec())).boxed()
}
