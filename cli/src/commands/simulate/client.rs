//! Calls the API for one person, and counts and times the calls.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;

use super::stats::Stats;
use crate::failure::Failure;

/// How long a request may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(30);

/// The HTTP client that everybody shares.
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

/// How often an edit is repeated that others were faster than.
const EDIT_ATTEMPTS: u32 = 5;

/// Refusals that are expected because others edit the same things.
pub(super) const CONFLICTS: [&str; 6] = [
    "version_mismatch",
    "resource_deleted",
    "order_mismatch",
    "project_state",
    "project_not_found",
    "lesson_not_found",
];

/// How the summaries of projects begin that learners make. Mentors leave those of others alone.
pub(super) const MADE_IN: &str = "Made in a simulation.";

/// The first name of learners. Mentors leave the questions of others alone.
pub(super) const SIMULATED: &str = "Simulated";

/// What became of a call.
enum Outcome {
    Done(Value),
    /// Refused in an expected way, with this code.
    Refused(String),
    Failed,
}

/// One person's client of the API.
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

    /// Sends a request and returns the body of a successful response, null if it is empty. Refusals and errors are counted.
    /// `expected` holds the problem codes that do not count as errors.
    pub(super) async fn call(
        &mut self,
        what: &'static str,
        method: Method,
        path: &str,
        body: Option<Value>,
        expected: &[&str],
    ) -> Option<Value> {
        let request = self.request(method, path, body.as_ref());
        match self.send(what, path, request, expected).await {
            Outcome::Done(body) => Some(body),
            Outcome::Refused(_) | Outcome::Failed => None,
        }
    }

    /// Reads what is at `read`, and sends `method` to `path` with its version and the body that `body` makes of it. Repeats that
    /// with what is there then when somebody else was faster.
    pub(super) async fn edit(
        &mut self,
        what: &'static str,
        read: &str,
        (method, path): (Method, &str),
        body: impl Fn(&Value) -> Option<Value>,
    ) -> Option<Value> {
        for _ in 0..EDIT_ATTEMPTS {
            let current = self.call("read before an edit", Method::GET, read, None, &CONFLICTS).await?;
            let version = format!("\"{}\"", current["version"]);
            let request = self.request(method.clone(), path, body(&current).as_ref()).header("If-Match", version);
            match self.send(what, path, request, &CONFLICTS).await {
                Outcome::Done(body) => return Some(body),
                Outcome::Refused(code) if code == "version_mismatch" => self.stats.action("repeat an edit"),
                Outcome::Refused(_) | Outcome::Failed => return None,
            }
        }
        None
    }

    /// Opens a stream of events, and reads it until the first has arrived or the time is over.
    pub(super) async fn follow(&mut self, what: &'static str, path: &str, time: Duration) {
        let started = Instant::now();
        let answer = self.request(Method::GET, path, None).send().await;
        self.stats.request(started.elapsed());
        match answer {
            Ok(mut stream) if stream.status().is_success() => {
                // Whether something happens meanwhile is open.
                let _ = tokio::time::timeout(time, stream.chunk()).await;
            }
            Ok(refused) => self.stats.error(format!("{what}: {}", refused.status().as_u16()), || path.to_owned()),
            Err(error) => self.stats.error(format!("{what}: no answer"), || chain(&error)),
        }
    }

    fn request(&self, method: Method, path: &str, body: Option<&Value>) -> reqwest::RequestBuilder {
        let mut request = self.http.request(method, format!("{}/v1{path}", self.base));
        if let Some(token) = &self.access_token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        request
    }

    async fn send(
        &mut self,
        what: &'static str,
        path: &str,
        request: reqwest::RequestBuilder,
        expected: &[&str],
    ) -> Outcome {
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
                return Outcome::Failed;
            }
        };
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if status.is_success() {
            return Outcome::Done(body);
        }
        self.stats.status(status.as_u16());
        let code = body["code"].as_str().unwrap_or("no problem document");
        if expected.contains(&code) {
            self.stats.refusal(code);
            return Outcome::Refused(code.to_owned());
        }
        self.stats.error(format!("{what}: {} {code}", status.as_u16()), || {
            format!("{path}: {} (request {})", body["detail"], body["request_id"])
        });
        Outcome::Failed
    }
}

/// The projects of a page that belong to a simulation.
pub(super) fn made_here(page: &Value) -> Vec<&Value> {
    items(&page["items"]).iter().filter(|project| text(&project["summary"]).starts_with(MADE_IN)).collect()
}

/// The items of a JSON array; empty for any other value.
pub(super) fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
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
