//! A signed-in person who retries each call until it is answered, and counts what was accepted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::answers::Answers;

const PASSWORD: &str = "a long enough password";

/// A call that is not answered for this long is a failure of the platform.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);

/// Answers that say that something has changed meanwhile or is not there now.
const CONFLICTS: [StatusCode; 3] = [StatusCode::NOT_FOUND, StatusCode::CONFLICT, StatusCode::PRECONDITION_FAILED];

/// How to reach the platform. `accepted` is incremented with every accepted action, and `answers` counts all requests.
#[derive(Clone)]
pub(crate) struct Entrance {
    pub(crate) base: String,
    pub(crate) client: Client,
    pub(crate) accepted: Arc<AtomicU64>,
    pub(crate) answers: Arc<Answers>,
    /// How many questions were refused because of a budget.
    pub(crate) refused: Arc<AtomicU64>,
}

#[derive(Clone)]
pub(crate) struct Session {
    name: String,
    entrance: Entrance,
    token: String,
    pub(crate) user_id: Uuid,
    pub(crate) counts: Counts,
}

/// How often each action was accepted by the server.
#[derive(Clone, Default)]
pub(crate) struct Counts {
    /// Those that the server confirmed.
    pub(crate) certain: BTreeMap<&'static str, i64>,
    /// Those whose answer was lost, and which cannot be told from the refusal of their retry.
    pub(crate) uncertain: BTreeMap<&'static str, i64>,
}

/// A call.
pub(crate) struct Call<'a> {
    method: Method,
    path: String,
    body: Option<Value>,
    codes: &'a [&'a str],
    may_conflict: bool,
    header: Option<(&'static str, String)>,
}

/// An answer that was expected.
pub(crate) struct Answer {
    /// The body; null if there is none.
    pub(crate) body: Value,
    /// Whether it is no refusal.
    pub(crate) is_success: bool,
    /// Whether an earlier attempt was not answered, so that it may have had its effect.
    pub(crate) was_interrupted: bool,
}

impl<'a> Call<'a> {
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), body: None, codes: &[], may_conflict: false, header: None }
    }

    pub(crate) fn body(self, body: Value) -> Self {
        Self { body: Some(body), ..self }
    }

    /// Problems with these codes are answers, too.
    pub(crate) fn accept(self, codes: &'a [&'a str]) -> Self {
        Self { codes, ..self }
    }

    /// So is every problem that says that something else has changed.
    pub(crate) fn may_conflict(self) -> Self {
        Self { may_conflict: true, ..self }
    }

    /// Repeating a call with the same key has no further effect.
    pub(crate) fn key(self, key: String) -> Self {
        Self { header: Some(("Idempotency-Key", key)), ..self }
    }

    /// Refused unless the resource has this version.
    pub(crate) fn version(self, version: i64) -> Self {
        Self { header: Some(("If-Match", format!("\"{version}\""))), ..self }.may_conflict()
    }
}

impl Session {
    /// Registers, with an invite for another role than that of a learner, and signs in.
    pub(crate) async fn register(name: String, invite: Option<&str>, entrance: Entrance) -> anyhow::Result<Self> {
        let mut session =
            Self { name, entrance, token: String::new(), user_id: Uuid::nil(), counts: Counts::default() };
        let mut account = json!({ "email": session.email(), "password": PASSWORD, "first_name": "Somebody" });
        if let Some(invite) = invite {
            account["invite_code"] = invite.into();
        }
        // If a registration was interrupted, its retry is told that the address is taken. It was accepted, then.
        session.retry(&Call::new(Method::POST, "/auth/register").body(account).accept(&["email_taken"])).await?;
        session.sign_in().await?;
        session.user_id = id(&session.get("/me").await?["id"])?;
        Ok(session)
    }

    fn email(&self) -> String {
        format!("{}@example.test", self.name)
    }

    /// A request for a stream, which may be answered with 401 when the access token has expired.
    pub(crate) fn stream(&self, client: &Client, path: &str) -> reqwest::RequestBuilder {
        client.get(format!("{}{path}", self.entrance.base)).bearer_auth(&self.token)
    }

    /// Signs in again.
    pub(crate) async fn sign_in(&mut self) -> anyhow::Result<()> {
        let credentials = json!({ "email": self.email(), "password": PASSWORD });
        self.token.clear();
        let session = self.retry(&Call::new(Method::POST, "/auth/login").body(credentials)).await?.body;
        session["tokens"]["access_token"].as_str().context("a session without a token")?.clone_into(&mut self.token);
        Ok(())
    }

    pub(crate) fn count(&mut self, action: &'static str) {
        *self.counts.certain.entry(action).or_default() += 1;
        self.entrance.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a question that was refused because of a budget.
    pub(crate) fn count_refusal(&self) {
        self.entrance.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_uncertain(&mut self, action: &'static str) {
        *self.counts.uncertain.entry(action).or_default() += 1;
    }

    pub(crate) fn counted(&self, action: &str) -> i64 {
        self.counts.certain.get(action).copied().unwrap_or_default()
    }

    pub(crate) async fn get(&mut self, path: &str) -> anyhow::Result<Value> {
        Ok(self.send(Call::new(Method::GET, path)).await?.body)
    }

    /// Sends a call until it is answered. Signs in again when the access token has expired.
    pub(crate) async fn send(&mut self, call: Call<'_>) -> anyhow::Result<Answer> {
        let answer = self.retry(&call).await?;
        if answer.body["code"] != "unauthorized" {
            return Ok(answer);
        }
        self.sign_in().await?;
        let again = self.retry(&call).await?;
        ensure!(again.body["code"] != "unauthorized", "{} was refused right after signing in", call.path);
        Ok(Answer { was_interrupted: answer.was_interrupted || again.was_interrupted, ..again })
    }

    /// Retries a call while the server is unavailable. Any response other than a success, an expected problem or a 503 is a
    /// failure: a crash must never show as a 500.
    async fn retry(&self, call: &Call<'_>) -> anyhow::Result<Answer> {
        let Call { method, path, body, codes, may_conflict, header } = call;
        let (started, mut was_interrupted) = (Instant::now(), false);
        loop {
            let mut request = self.entrance.client.request(method.clone(), format!("{}{path}", self.entrance.base));
            if !self.token.is_empty() {
                request = request.bearer_auth(&self.token);
            }
            if let Some(body) = body {
                request = request.json(body);
            }
            if let Some((name, value)) = header {
                request = request.header(*name, value);
            }
            let answers = &self.entrance.answers;
            let answered = answer(request).await;
            answers.count(answered.as_ref().is_some_and(|(status, _)| *status != StatusCode::SERVICE_UNAVAILABLE));
            if let Some((status, answer)) = answered {
                let is_success = status.is_success();
                let is_expected = codes.iter().any(|code| answer["code"] == **code)
                    || (*may_conflict && CONFLICTS.contains(&status))
                    || (status == StatusCode::UNAUTHORIZED && !self.token.is_empty());
                if is_success || is_expected {
                    answers.took(started.elapsed());
                    return Ok(Answer { body: answer, is_success, was_interrupted });
                }
                if status != StatusCode::SERVICE_UNAVAILABLE {
                    bail!("{method} {path} was answered with {answer}");
                }
            }
            was_interrupted = true;
            ensure!(started.elapsed() < CALL_TIMEOUT, "{method} {path} was not answered for {CALL_TIMEOUT:?}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }
}

/// The status and the body, which is null if it is empty. `None` unless the whole answer arrived.
async fn answer(request: reqwest::RequestBuilder) -> Option<(StatusCode, Value)> {
    let response = request.send().await.ok()?;
    let status = response.status();
    let bytes = response.bytes().await.ok()?;
    if bytes.is_empty() { Some((status, Value::Null)) } else { Some((status, serde_json::from_slice(&bytes).ok()?)) }
}

pub(crate) fn id(value: &Value) -> anyhow::Result<Uuid> {
    value.as_str().with_context(|| format!("{value} is not an id"))?.parse().context("an id that is not a UUID")
}
