//! Follows an answer from the provider to a reader, through real processes that are killed in between.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cairn_core::clock::{Clock, new_id};
use cairn_core::config::Secret;
use cairn_core::users::tokens::{TokenSubject, Tokens};
use cairn_postgres::Durability;
use cairn_postgres::testing::throw_away_server;
use cairn_stub_provider::Stub;
use cairn_testing::database::set_up_on;
use cairn_testing::processes::{Process, Program, free_port};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use super::{ReplyHarness, ai};
use crate::support::{Harness, http_client};
use cairn_testing::eventually;

const JWT_SECRET: &str = "a key for this test only, which protects nothing";

/// What a reader has received, as a browser's `EventSource` would keep it.
#[derive(Clone, Debug, Default)]
struct Received {
    text: String,
    last_id: String,
    /// The name of the last event, if the reply is in its final state.
    end: Option<String>,
    /// How often the text started over.
    restarts: usize,
    /// How often the stream ended before the reply did.
    disconnects: usize,
}

impl Received {
    fn take(&mut self, event: &str) {
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        let (Some(name), Some(id), Some(data)) = (field("event"), field("id"), field("data")) else { return };
        id.clone_into(&mut self.last_id);
        let data: Value = serde_json::from_str(data).unwrap();
        match name {
            "chunk" => self.text += data["text"].as_str().unwrap(),
            "restart" => {
                self.text.clear();
                self.restarts += 1;
            }
            _ => self.end = Some(name.to_owned()),
        }
    }
}

/// Follows a reply to its end, reconnecting whenever the stream is lost.
async fn follow(url: String, token: String, received_so_far: Arc<Mutex<Received>>) {
    let http = http_client();
    while received_so_far.lock().unwrap().end.is_none() {
        let last = received_so_far.lock().unwrap().last_id.clone();
        let mut request = http.get(&url).bearer_auth(&token);
        if !last.is_empty() {
            request = request.header("Last-Event-ID", last);
        }
        if let Ok(mut response) = request.send().await
            && response.status() == 200
        {
            let mut received = Vec::new();
            while let Ok(Some(bytes)) = response.chunk().await {
                received.extend_from_slice(&bytes);
                while let Some(end) = received.windows(2).position(|bytes| bytes == b"\n\n") {
                    let event: Vec<u8> = received.drain(..end + 2).collect();
                    received_so_far.lock().unwrap().take(std::str::from_utf8(&event).unwrap());
                }
            }
        }
        received_so_far.lock().unwrap().disconnects += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Creates a learner with a session. Returns its access token.
async fn sign_in(harness: &Harness) -> String {
    let (user_id, session_id) = (new_id(), new_id());
    sqlx::query("INSERT INTO users (id, email, first_name) VALUES ($1, 'anna@example.test', 'Anna')")
        .bind(user_id)
        .execute(harness.pool())
        .await
        .unwrap();
    sqlx::query("INSERT INTO sessions (id, user_id, expires_at) VALUES ($1, $2, now() + interval '1 day')")
        .bind(session_id)
        .bind(user_id)
        .execute(harness.pool())
        .await
        .unwrap();
    let tokens = Tokens::new(&Secret::new(JWT_SECRET));
    tokens.issue(TokenSubject { user_id, session_id }, Clock::default().now()).unwrap()
}

/// The API and a worker, as they are deployed.
struct Deployed {
    api: Process,
    api_program: Program,
    worker: Process,
    worker_program: Program,
    base: String,
}

impl Deployed {
    fn start(url: &str, stub: &Stub, logs: &Path) -> Self {
        let addr = format!("127.0.0.1:{}", free_port().unwrap());
        let common = || {
            vec![
                ("DATABASE_URL", url.to_owned()),
                ("CAIRN_OPS_ADDR", format!("127.0.0.1:{}", free_port().unwrap())),
                ("CAIRN_LOG", "warn".to_owned()),
            ]
        };
        let api = [("CAIRN_JWT_SECRET", JWT_SECRET.to_owned()), ("CAIRN_API_ADDR", addr.clone())];
        let worker = [("CAIRN_AI_BASE_URL", stub.base_url()), ("CAIRN_AI_MODEL", "stub".to_owned())];
        let program = |name, more: Vec<_>, log| Program::new(name, [common(), more].concat(), logs.join(log));
        let api_program = program("cairn-api", api.to_vec(), "api.log");
        let worker_program = program("cairn-worker", worker.to_vec(), "worker.log");
        let (api, worker) = (api_program.start(None).unwrap(), worker_program.start(None).unwrap());
        Self { api, api_program, worker, worker_program, base: format!("http://{addr}") }
    }

    fn kill_api(&mut self) {
        self.api.kill().unwrap();
        self.api = self.api_program.start(None).unwrap();
    }

    fn kill_worker(&mut self) {
        self.worker.kill().unwrap();
        self.worker = self.worker_program.start(None).unwrap();
    }

    /// Asks a question once the API is available. Returns the id of the reply.
    async fn ask(&self, token: &str, question: &str) -> Uuid {
        let (http, url) = (http_client(), format!("{}/v1/tools/assistant/messages", self.base));
        eventually("the API is available", async || http.get(&url).bearer_auth(token).send().await.is_ok()).await;
        let asked = http.post(&url).bearer_auth(token).json(&json!({ "message": question })).send().await.unwrap();
        assert_eq!(asked.status(), 202);
        let asked: Value = asked.json().await.unwrap();
        asked["reply_id"].as_str().unwrap().parse().unwrap()
    }
}

/// The API, the worker and Postgres are killed in turn in the middle of an answer. The reader reconnects by itself and in the
/// end has received exactly what is stored.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_reaches_its_reader_whichever_process_is_killed() {
    let mut server = throw_away_server(Durability::Full, &[]).await.unwrap();
    let url = set_up_on(&server, "cairn").await.unwrap();
    let (logs, stub) = (TempDir::new().unwrap(), Stub::start().await.unwrap());
    let mut harness = Harness::on(&url);
    harness.config.ai = Some(ai(&stub));
    let fixture = ReplyHarness { harness, stub };
    let token = sign_in(&fixture.harness).await;
    let mut deployed = Deployed::start(&url, &fixture.stub, logs.path());
    let reply = deployed.ask(&token, "stub:words=60,gap=100 Go on").await;

    let received_so_far = Arc::new(Mutex::new(Received::default()));
    let address = format!("{}/v1/replies/{reply}/stream", deployed.base);
    let reader = tokio::spawn(follow(address, token, received_so_far.clone()));
    let now = || received_so_far.lock().unwrap().clone();
    eventually("text arrives", async || !now().text.is_empty()).await;

    deployed.kill_api();
    let before = now();
    eventually("the text continues", async || now().text.len() > before.text.len()).await;
    assert!(now().text.starts_with(&before.text), "{:?} after {before:?}", now());
    assert_eq!(now().restarts, 0);

    deployed.kill_worker();
    eventually("the text starts over", async || now().restarts == 1 && !now().text.is_empty()).await;

    server.restart_immediate().await.unwrap();
    let restarted = Instant::now();
    eventually("the reply is final", async || now().end.is_some()).await;
    assert!(restarted.elapsed() < Duration::from_mins(1));
    reader.await.unwrap();
    let (stored, read) = (fixture.completed(reply).await, now());
    assert_eq!(read.end.as_deref(), Some("completed"), "{read:?} {stored:?}");
    assert_eq!(stored.answer, Some(read.text.clone()));
    assert!(read.disconnects >= 2, "{read:?}");
    drop(deployed);
    server.stop().await.unwrap();
}
