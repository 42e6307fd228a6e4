//! Calls the API, and counts and times the calls.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;

use super::stats::Stats;
use crate::failure::Failure;

/// How long a request may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// The HTTP client that all learners share.
pub(super) fn http_client() -> Result<reqwest::Client, Failure> {
    // Fails if a provider is installed already, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .connect_timeout(Duration::from_secs(5))
        .timeout(REQUEST_LIMIT)
        .no_proxy()
        .user_agent("cairn-simulate")
        .build()
        .map_err(|error| Failure::failed(format!("cannot create an HTTP client: {error}")))
}

/// One learner's client of the API.
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    pub(super) access_token: Option<String>,
    pub(super) stats: Stats,
}

impl Client {
    /// `base` is a URL such as `http://127.0.0.1:8080`.
    pub(super) fn new(http: reqwest::Client, base: String) -> Self {
        Self { http, base, access_token: None, stats: Stats::default() }
    }

    pub(super) async fn get(&mut self, what: &'static str, path: &str) -> Option<Value> {
        self.call(what, Method::GET, path, None, &[]).await
    }

    /// Sends a request and returns the body of a successful response. Refusals and errors are counted. `expected` holds the
    /// problem codes that do not count as errors.
    pub(super) async fn call(
        &mut self,
        what: &'static str,
        method: Method,
        path: &str,
        body: Option<Value>,
        expected: &[&str],
    ) -> Option<Value> {
        let mut request = self.http.request(method, format!("{}/v1{path}", self.base));
        if let Some(token) = &self.access_token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = &body {
            request = request.json(body);
        }
        let started = Instant::now();
        let answer = match request.send().await {
            Ok(answer) => {
                let status = answer.status();
                answer.bytes().await.map(|bytes| (status, bytes))
            }
            Err(error) => Err(error),
        };
        self.stats.request(started.elapsed());
        let (status, bytes) = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let kind = if error.is_timeout() { "timed out" } else { "no answer" };
                self.stats.error(format!("{what}: {kind}"), || chain(&error));
                return None;
            }
        };
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if status.is_success() {
            return Some(body);
        }
        let code = body["code"].as_str().unwrap_or("no problem document");
        if expected.contains(&code) {
            self.stats.refusal(code);
        } else {
            self.stats.error(format!("{what}: {} {code}", status.as_u16()), || {
                format!("{path}: {} (request {})", body["detail"], body["request_id"])
            });
        }
        None
    }
}

/// An error and its causes on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
