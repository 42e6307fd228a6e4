//! Learners who do nothing but ask, and read the answers while they are written.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::expected::{Expected, Question, Received};
use crate::session::{Call, Entrance, Session, id};

const TOOLS: [&str; 3] = ["assistant", "tz_helper", "ideas"];

/// How long a reader waits for the end of a reply.
const READ_TIMEOUT: Duration = Duration::from_mins(5);

/// How long a reader waits before connecting again, and an asker whose budget is reserved.
const PAUSE: Duration = Duration::from_millis(200);

/// Asks until told to stop, all tools at once, and reads each answer to its end. When the budget is used up, somebody else asks.
pub(crate) async fn ask(n: usize, entrance: Entrance, stop: Arc<AtomicBool>) -> anyhow::Result<Vec<Expected>> {
    // Streams last longer than calls. Comments keep them alive, so silence means that the connection is lost.
    let client = Client::builder().read_timeout(Duration::from_secs(20)).build()?;
    let mut expected = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let name = format!("asker{n}-{}", expected.len());
        let session = Session::register(name.clone(), None, entrance.clone()).await?;
        let [one, two, three] =
            TOOLS.map(|tool| Asker { name: format!("{name}, {tool}"), tool, session: session.clone(), asked: 0 });
        let (one, two, three) =
            tokio::try_join!(one.run(&client, &stop), two.run(&client, &stop), three.run(&client, &stop))?;
        let mut all = Expected::of(session);
        for (session, questions) in [one, two, three] {
            for (action, times) in session.counts.certain {
                *all.counts.certain.entry(action).or_default() += times;
            }
            all.questions.extend(questions);
        }
        expected.push(all);
    }
    Ok(expected)
}

struct Asker {
    name: String,
    tool: &'static str,
    session: Session,
    asked: usize,
}

impl Asker {
    /// Asks one question after the other until told to stop, or the budget is used up.
    async fn run(mut self, client: &Client, stop: &AtomicBool) -> anyhow::Result<(Session, Vec<Question>)> {
        let mut questions = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            self.asked += 1;
            // On a single line, and asked nowhere else, so that the provider can tell the questions from each other.
            let text = format!("How do servers work? ({}, {})", self.name, self.asked);
            let call = Call::new(Method::POST, format!("/tools/{}/messages", self.tool))
                .body(json!({ "message": text }))
                .accept(&["budget_exceeded"])
                .key(format!("{}-{}", self.tool, self.asked));
            let answer = self.session.send(call).await?;
            if !answer.is_success {
                self.session.count_refusal();
                if answer.body["detail"].as_str().is_some_and(|detail| detail.contains("used up")) {
                    break;
                }
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            self.session.count("question.asked");
            let reply_id = id(&answer.body["reply_id"])?;
            let received = self.follow(client, reply_id).await?;
            if received.end.as_deref() == Some("completed") {
                self.session.count("reply.received");
            }
            questions.push(Question { text, reply_id, received });
        }
        Ok((self.session, questions))
    }

    /// Reads a reply to its end, connecting again whenever the stream is lost.
    async fn follow(&mut self, client: &Client, reply_id: Uuid) -> anyhow::Result<Received> {
        let (started, mut received) = (Instant::now(), Received::default());
        let path = format!("/replies/{reply_id}/stream");
        while started.elapsed() < READ_TIMEOUT {
            let mut request = self.session.stream(client, &path);
            if !received.last_id.is_empty() {
                request = request.header("Last-Event-ID", &received.last_id);
            }
            match request.send().await {
                Ok(response) if response.status() == StatusCode::UNAUTHORIZED => self.session.sign_in().await?,
                Ok(response) if response.status().is_success() => received.read(response).await?,
                _ => {}
            }
            if received.end.is_some() {
                break;
            }
            received.disconnects += 1;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(received)
    }
}

impl Received {
    async fn read(&mut self, mut response: reqwest::Response) -> anyhow::Result<()> {
        let mut buffer = Vec::new();
        while let Ok(Some(bytes)) = response.chunk().await {
            buffer.extend_from_slice(&bytes);
            while let Some(end) = buffer.windows(2).position(|bytes| bytes == b"\n\n") {
                let event: Vec<u8> = buffer.drain(..end + 2).collect();
                self.take(std::str::from_utf8(&event)?)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, event: &str) -> anyhow::Result<()> {
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        // Comments have no fields.
        let (Some(name), Some(id), Some(data)) = (field("event"), field("id"), field("data")) else { return Ok(()) };
        id.clone_into(&mut self.last_id);
        let data: Value = serde_json::from_str(data)?;
        match name {
            "chunk" => self.text += data["text"].as_str().context("a chunk without text")?,
            "thinking" => {}
            "restart" => {
                self.text.clear();
                self.restarts += 1;
            }
            end => {
                self.end = Some(end.to_owned());
                self.reason = data["reason"].as_str().map(str::to_owned);
            }
        }
        Ok(())
    }
}
