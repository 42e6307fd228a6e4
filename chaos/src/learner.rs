//! A learner who retries each call until it is answered, and records what was accepted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

const PASSWORD: &str = "a long enough password";

/// A call that is not answered for this long is a failure of the platform.
const CALL_TIMEOUT: Duration = Duration::from_mins(1);

pub(crate) struct Learner {
    n: usize,
    base: String,
    client: Client,
    token: String,
    accepted: Arc<AtomicU64>,
    events: BTreeMap<&'static str, i64>,
}

/// What one learner did, as the server accepted it.
pub(crate) struct Expected {
    pub(crate) user_id: Uuid,
    /// How often each action was accepted.
    pub(crate) events: BTreeMap<&'static str, i64>,
    /// The lessons that are completed at the end, in order.
    pub(crate) completed: Vec<Uuid>,
}

impl Learner {
    /// `accepted` is incremented with every accepted action.
    pub(crate) fn new(n: usize, base: String, client: Client, accepted: Arc<AtomicU64>) -> Self {
        Self { n, base, client, token: String::new(), accepted, events: BTreeMap::new() }
    }

    /// Acts until told to stop. Every change is retried until the server confirms it. Its effect must happen exactly once,
    /// however often the call was interrupted after its commit.
    pub(crate) async fn act_until(mut self, stop: Arc<AtomicBool>) -> anyhow::Result<Expected> {
        self.register().await?;
        let user_id = id(&self.call(Method::GET, "/me", None, &[]).await?["id"])?;
        let lessons = self.lessons().await?;
        let project = self.create_project().await?;

        let mut completed = vec![false; lessons.len()];
        let mut liked = false;
        let mut round = self.n * 7;
        while !stop.load(Ordering::Relaxed) {
            round += 1;
            let lesson = (round * 5 + self.n) % lessons.len();
            let path = format!("/lessons/{}/completion", lessons[lesson]);
            if completed[lesson] && round.is_multiple_of(3) {
                self.call(Method::DELETE, &path, None, &[]).await?;
                completed[lesson] = false;
                self.count("lesson.reopened");
            } else {
                self.call(Method::PUT, &path, None, &[]).await?;
                if !completed[lesson] {
                    self.count("lesson.completed");
                }
                completed[lesson] = true;
            }
            if round.is_multiple_of(4) {
                liked = !liked;
                let method = if liked { Method::PUT } else { Method::DELETE };
                self.call(method, &format!("/projects/{project}/like"), None, &[]).await?;
                self.count(if liked { "project.liked" } else { "project.unliked" });
            }
            if round.is_multiple_of(25) {
                self.ask().await?;
            }
        }
        let mut completed: Vec<Uuid> =
            lessons.into_iter().zip(completed).filter_map(|(lesson, done)| done.then_some(lesson)).collect();
        completed.sort_unstable();
        Ok(Expected { user_id, events: self.events, completed })
    }

    fn email(&self) -> String {
        format!("learner{}@example.test", self.n)
    }

    async fn register(&mut self) -> anyhow::Result<()> {
        let account = json!({ "email": self.email(), "password": PASSWORD, "first_name": "Learner" });
        // If a registration was interrupted, its retry is told that the address is taken. It was accepted, then.
        self.call(Method::POST, "/auth/register", Some(account), &["email_taken"]).await?;
        self.sign_in().await
    }

    async fn sign_in(&mut self) -> anyhow::Result<()> {
        let credentials = json!({ "email": self.email(), "password": PASSWORD });
        let session = self.retry(Method::POST, "/auth/login", Some(credentials), &[], None).await?;
        session["tokens"]["access_token"].as_str().context("a session without a token")?.clone_into(&mut self.token);
        Ok(())
    }

    async fn lessons(&mut self) -> anyhow::Result<Vec<Uuid>> {
        let roadmaps = self.call(Method::GET, "/roadmaps", None, &[]).await?;
        let roadmap = id(&roadmaps["items"][0]["id"])?;
        let tree = self.call(Method::GET, &format!("/roadmaps/{roadmap}"), None, &[]).await?;
        let stages = tree["stages"].as_array().context("a tree without stages")?;
        stages
            .iter()
            .flat_map(|stage| stage["lessons"].as_array().into_iter().flatten())
            .map(|lesson| id(&lesson["id"]))
            .collect()
    }

    async fn create_project(&mut self) -> anyhow::Result<Uuid> {
        let key = format!("project-of-{}", self.n);
        let body = json!({ "title": "Mine", "summary": "S" });
        let project = self.retry(Method::POST, "/projects", Some(body), &[], Some(&key)).await?;
        self.count("project.created");
        id(&project["id"])
    }

    async fn ask(&mut self) -> anyhow::Result<()> {
        let key = format!("question-{}", self.events.get("question.asked").unwrap_or(&0));
        let body = json!({ "message": "How do servers work?" });
        let asked =
            self.retry(Method::POST, "/tools/assistant/messages", Some(body), &["reply_open"], Some(&key)).await?;
        // A question is not accepted while the previous answer is being written.
        if asked["code"] != "reply_open" {
            self.count("question.asked");
            self.count("reply.received");
        }
        Ok(())
    }

    fn count(&mut self, action: &'static str) {
        *self.events.entry(action).or_default() += 1;
        self.accepted.fetch_add(1, Ordering::Relaxed);
    }

    /// Like [`Self::retry`], but signs in again when the access token has expired.
    async fn call(
        &mut self,
        method: Method,
        path: &str,
        body: Option<Value>,
        accepted: &[&str],
    ) -> anyhow::Result<Value> {
        let also_expired: Vec<&str> = accepted.iter().copied().chain(["unauthorized"]).collect();
        let answer = self.retry(method.clone(), path, body.clone(), &also_expired, None).await?;
        if answer["code"] != "unauthorized" {
            return Ok(answer);
        }
        self.sign_in().await?;
        self.retry(method, path, body, accepted, None).await
    }

    /// Retries a call while the server is unavailable. Any response other than a success, an accepted problem or a 503 is a
    /// failure: a crash must never show as a 500.
    async fn retry(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        accepted: &[&str],
        key: Option<&str>,
    ) -> anyhow::Result<Value> {
        let started = Instant::now();
        loop {
            let mut request = self.client.request(method.clone(), format!("{}{path}", self.base));
            if !self.token.is_empty() {
                request = request.bearer_auth(&self.token);
            }
            if let Some(body) = &body {
                request = request.json(body);
            }
            if let Some(key) = key {
                request = request.header("Idempotency-Key", key);
            }
            if let Ok(response) = request.send().await {
                let status = response.status();
                if let Ok(answer) = response.json::<Value>().await {
                    if status.is_success() || accepted.iter().any(|code| answer["code"] == **code) {
                        return Ok(answer);
                    }
                    if status != StatusCode::SERVICE_UNAVAILABLE {
                        bail!("{method} {path} was answered with {answer}");
                    }
                }
            }
            ensure!(started.elapsed() < CALL_TIMEOUT, "{method} {path} was not answered for {CALL_TIMEOUT:?}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }
}

fn id(value: &Value) -> anyhow::Result<Uuid> {
    value.as_str().with_context(|| format!("{value} is not an id"))?.parse().context("an id that is not a UUID")
}
