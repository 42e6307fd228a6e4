//! Calls the API for one person, and counts and times the calls.

use std::time::{Duration, Instant};

use reqwest::Method;
use reqwest::header::RETRY_AFTER;
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

/// How often a request is sent that the platform is too busy for, and how long it waits at most in between.
const SEND_ATTEMPTS: u32 = 6;
const MAX_PAUSE: Duration = Duration::from_secs(10);

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

    /// Sends a request, again if the platform asks for that.
    async fn send(
        &mut self,
        what: &'static str,
        path: &str,
        request: reqwest::RequestBuilder,
        expected: &[&str],
    ) -> Outcome {
        for _ in 1..SEND_ATTEMPTS {
            let Some(first) = request.try_clone() else { break };
            match self.send_once(what, path, first, expected, true).await {
                Ok(outcome) => return outcome,
                Err(pause) => tokio::time::sleep(pause).await,
            }
        }
        self.send_once(what, path, request, expected, false).await.unwrap_or(Outcome::Failed)
    }

    /// Sends a request. Returns how long to wait if it is to be sent again and `may_repeat`.
    async fn send_once(
        &mut self,
        what: &'static str,
        path: &str,
        request: reqwest::RequestBuilder,
        expected: &[&str],
        may_repeat: bool,
    ) -> Result<Outcome, Duration> {
        let started = Instant::now();
        let answer = match request.send().await {
            Ok(answer) => {
                let (status, pause) = (answer.status(), retry_after(&answer));
                answer.bytes().await.map(|bytes| (status, pause, bytes))
            }
            Err(error) => Err(error),
        };
        self.stats.request(started.elapsed());
        let (status, pause, bytes) = match answer {
            Ok(answer) => answer,
            Err(error) => {
                let kind = if error.is_timeout() { "timed out" } else { "no answer" };
                self.stats.error(format!("{what}: {kind}"), || chain(&error));
                return Ok(Outcome::Failed);
            }
        };
        let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
        if status.is_success() {
            return Ok(Outcome::Done(body));
        }
        self.stats.status(status.as_u16());
        let code = body["code"].as_str().unwrap_or("no problem document");
        if expected.contains(&code) {
            self.stats.refusal(code);
            return Ok(Outcome::Refused(code.to_owned()));
        }
        if let Some(pause) = pause.filter(|_| may_repeat) {
            return Err(pause);
        }
        self.stats.error(format!("{what}: {} {code}", status.as_u16()), || {
            format!("{path}: {} (request {})", body["detail"], body["request_id"])
        });
        Ok(Outcome::Failed)
    }
}

/// After what time a request that was not accepted is to be sent again, if that is soon.
fn retry_after(answer: &reqwest::Response) -> Option<Duration> {
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds)).filter(|pause| *pause <= MAX_PAUSE)
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

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers each request with the next of these heads and an empty object, and then with 200.
    async fn server(heads: &'static [&'static str]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let mut heads = heads.iter();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await.unwrap();
                let head = heads.next().unwrap_or(&"200 OK");
                let answer = format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{{}}");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        base
    }

    #[tokio::test]
    async fn a_request_is_sent_again_if_the_platform_asks_for_that_soon() {
        const BUSY: &str = "503 Service Unavailable\r\nretry-after: 0";
        const LATER: &str = "429 Too Many Requests\r\nretry-after: 3600";
        const BROKEN: &str = "503 Service Unavailable";
        for (heads, errors) in
            [(&[BUSY; 5][..], 0), (&[BUSY; 6], 1), (&[LATER], 1), (&[BROKEN], 1), (&["404 Not Found"], 1)]
        {
            let mut client = Client::new(http_client().unwrap(), server(heads).await);
            let answer = client.call("try", Method::POST, "/x", Some(Value::Null), &[]).await;
            assert_eq!((answer.is_some(), client.stats.errors()), (errors == 0, errors), "{heads:?}");
        }
    }
}
