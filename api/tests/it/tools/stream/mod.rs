//! Following replies while they are written.

mod chaos;
mod followed;
mod limits;

use std::time::Duration;

use cairn_core::tools::Reason;
use cairn_core::tools::attempts::{self, Attempt, Usage};
use poem::http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Actor, Call, Follow, TestApp};

const ASSISTANT: &str = "/v1/tools/assistant/messages";
const IDEAS: &str = "/v1/tools/ideas/messages";

fn id(value: &Value) -> Uuid {
    value.as_str().unwrap().parse().unwrap()
}

/// Asks, and gives the id of the reply.
async fn asked(actor: &Actor, path: &str) -> Uuid {
    let answer = actor.post(path, json!({"message": "What is a grid?"})).await.expect(202).json;
    id(&answer["reply_id"])
}

/// Does something to a reply: `cancel` or `retry`.
fn act(actor: &Actor, reply_id: Uuid, what: &str) -> Call {
    actor.call(Method::POST, &format!("/v1/replies/{reply_id}/{what}"))
}

/// A call for the stream of a reply, by a reader that has got the event `last`.
fn stream(actor: &Actor, reply_id: Uuid, last: Option<&str>) -> Call {
    let call = actor.get(&format!("/v1/replies/{reply_id}/stream"));
    match last {
        Some(last) => call.header("Last-Event-ID", last),
        None => call,
    }
}

async fn follow(actor: &Actor, reply_id: Uuid, last: Option<&str>) -> Follow {
    stream(actor, reply_id, last).follow().await
}

/// Writes a reply as a worker does.
struct Writer {
    app: TestApp,
    attempt: Attempt,
    seq: i32,
}

impl Writer {
    async fn begin(app: &TestApp, reply_id: Uuid) -> Self {
        let mut connection = app.app.pool().acquire().await.unwrap();
        let attempt = attempts::begin(&mut connection, reply_id, "test", None).await.unwrap().unwrap();
        app.app.db.notifier().notify_readers(reply_id);
        Self { app: app.clone(), attempt, seq: 0 }
    }

    /// Stores the next piece and tells readers. False when it may not.
    async fn write(&mut self, text: &str) -> bool {
        let stored = self.write_silently(text).await;
        self.app.app.db.notifier().notify_readers(self.attempt.reply_id);
        stored
    }

    /// Stores the next piece of what the model thinks.
    async fn think(&mut self, text: &str) -> bool {
        self.seq += 1;
        let mut connection = self.app.app.pool().acquire().await.unwrap();
        attempts::append(&mut connection, &self.attempt, self.seq, text, true).await.unwrap()
    }

    /// The same, but the announcement is lost.
    async fn write_silently(&mut self, text: &str) -> bool {
        self.seq += 1;
        let mut connection = self.app.app.pool().acquire().await.unwrap();
        attempts::append(&mut connection, &self.attempt, self.seq, text, false).await.unwrap()
    }

    async fn complete(&self, text: &str) -> bool {
        let mut tx = self.app.app.db.begin().await.unwrap();
        let completed = attempts::complete(&mut tx, &self.attempt, text, &Usage::default()).await.unwrap();
        tx.commit().await.unwrap();
        completed
    }

    async fn fail(&self, reason: Reason) -> bool {
        let mut tx = self.app.app.db.begin().await.unwrap();
        let (attempt, usage) = (&self.attempt, Usage::default());
        let failed = attempts::fail(&mut tx, attempt, reason, reason, "HTTP 500", &usage).await.unwrap();
        tx.commit().await.unwrap();
        failed
    }
}

/// Connections of the database that listen for what is said of replies.
const LISTENING: &str = "SELECT count(*) FROM pg_stat_activity
                         WHERE datname = current_database() AND query = 'LISTEN \"cairn_readers\"'";

/// Waits until the query returns true.
async fn until(app: &TestApp, query: &'static str, expected: i64) {
    let wait = async {
        while app.count(query).await != expected {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), wait).await.unwrap_or_else(|_| panic!("{query}"));
}
