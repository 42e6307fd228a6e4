//! A learner who repeats each call until it is answered, and remembers what must have happened.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use super::platform::Platform;

pub(super) struct Learner {
    n: usize,
    base: String,
    client: Client,
    token: String,
    events: BTreeMap<&'static str, i64>,
}

/// What one learner did, as the server accepted it.
pub(super) struct Expected {
    user_id: Uuid,
    events: BTreeMap<&'static str, i64>,
    completed: Vec<Uuid>,
}

impl Learner {
    pub(super) fn new(n: usize, platform: &Platform) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
        Self { n, base: platform.base_url(), client, token: String::new(), events: BTreeMap::new() }
    }

    /// Acts until told to stop. Every change is one intent, repeated until the server says it is so: the effect must
    /// happen once, however often the call was cut after its commit.
    pub(super) async fn act_until(mut self, stop: Arc<AtomicBool>) -> Expected {
        let email = format!("learner{}@example.test", self.n);
        let password = "a long enough password";
        let account = json!({ "email": email, "password": password, "first_name": "Learner" });
        // A repeat of a registration that was cut answers that the address is taken: then it was accepted.
        self.call(Method::POST, "/auth/register", Some(account), &["email_taken"]).await;
        let session =
            self.call(Method::POST, "/auth/login", Some(json!({ "email": email, "password": password })), &[]).await;
        self.token = session["tokens"]["access_token"].as_str().unwrap().to_owned();
        let user_id = id(&self.call(Method::GET, "/me", None, &[]).await["id"]);
        let roadmaps = self.call(Method::GET, "/roadmaps", None, &[]).await;
        let tree = self
            .call(Method::GET, &format!("/roadmaps/{}", roadmaps["items"][0]["id"].as_str().unwrap()), None, &[])
            .await;
        let lessons: Vec<Uuid> = tree["stages"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|stage| stage["lessons"].as_array().unwrap().iter().map(|lesson| id(&lesson["id"])))
            .collect();
        let project = self.create_project().await;

        let mut completed = vec![false; lessons.len()];
        let mut liked = false;
        let mut turn = self.n * 7;
        while !stop.load(Ordering::Relaxed) {
            turn += 1;
            let lesson = (turn * 5 + self.n) % lessons.len();
            let path = format!("/lessons/{}/completion", lessons[lesson]);
            if completed[lesson] && turn.is_multiple_of(3) {
                self.call(Method::DELETE, &path, None, &[]).await;
                completed[lesson] = false;
                self.count("lesson.reopened");
            } else {
                self.call(Method::PUT, &path, None, &[]).await;
                if !completed[lesson] {
                    self.count("lesson.completed");
                }
                completed[lesson] = true;
            }
            if turn.is_multiple_of(4) {
                liked = !liked;
                let method = if liked { Method::PUT } else { Method::DELETE };
                self.call(method, &format!("/projects/{project}/like"), None, &[]).await;
                self.count(if liked { "project.liked" } else { "project.unliked" });
            }
            if turn.is_multiple_of(25) {
                self.ask().await;
            }
        }
        let completed =
            lessons.into_iter().zip(completed).filter_map(|(lesson, done)| done.then_some(lesson)).collect();
        Expected { user_id, events: self.events, completed }
    }

    async fn create_project(&mut self) -> Uuid {
        let key = format!("project-of-{}", self.n);
        let body = json!({ "title": "Mine", "summary": "S" });
        let project = self.call_with_key(Method::POST, "/projects", Some(body), &[], Some(&key)).await;
        self.count("project.created");
        id(&project["id"])
    }

    async fn ask(&mut self) {
        let key = format!("question-{}", self.events.get("question.asked").unwrap_or(&0));
        let body = json!({ "message": "How do servers work?" });
        let asked = self
            .call_with_key(Method::POST, "/tools/assistant/messages", Some(body), &["reply_open"], Some(&key))
            .await;
        if asked["code"] == "reply_open" {
            return; // the last answer is still being written: not accepted
        }
        self.count("question.asked");
        self.count("reply.received");
    }

    fn count(&mut self, action: &'static str) {
        *self.events.entry(action).or_default() += 1;
    }

    async fn call(&self, method: Method, path: &str, body: Option<Value>, accepted: &[&str]) -> Value {
        self.call_with_key(method, path, body, accepted, None).await
    }

    /// Repeats a call while the server is away. Any answer that is not a success, an accepted problem or "come back
    /// later" fails the test: crashes never show as a 500.
    async fn call_with_key(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
        accepted: &[&str],
        key: Option<&str>,
    ) -> Value {
        let begun = Instant::now();
        loop {
            let mut request =
                self.client.request(method.clone(), format!("{}{path}", self.base)).bearer_auth(&self.token);
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
                        return answer;
                    }
                    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{method} {path}: {answer}");
                }
            }
            assert!(begun.elapsed() < Duration::from_mins(1), "{method} {path} was never answered");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }
}

impl Expected {
    pub(super) fn actions(&self) -> i64 {
        self.events.values().sum()
    }

    /// One activity row for each accepted change, and the facts as the learner left them.
    pub(super) async fn check(&self, pool: &PgPool) {
        for (action, expected) in &self.events {
            let logged: i64 =
                sqlx::query_scalar("SELECT count(*) FROM activity_log WHERE actor_id = $1 AND action = $2")
                    .bind(self.user_id)
                    .bind(action)
                    .fetch_one(pool)
                    .await
                    .unwrap();
            assert_eq!(logged, *expected, "{action} of {}", self.user_id);
        }
        let mut completed: Vec<Uuid> = sqlx::query_scalar(
            "SELECT lesson_id FROM user_lesson_progress WHERE user_id = $1 AND status = 'completed'",
        )
        .bind(self.user_id)
        .fetch_all(pool)
        .await
        .unwrap();
        let mut expected = self.completed.clone();
        completed.sort_unstable();
        expected.sort_unstable();
        assert_eq!(completed, expected, "lessons of {}", self.user_id);
    }
}

fn id(value: &Value) -> Uuid {
    value.as_str().unwrap().parse().unwrap()
}
