//! Questions to the tools, and their replies.

mod budgets;
mod catalog;
mod chat_export;
mod chats;
mod daily;
mod evaluation_runs;
mod evaluations;
mod instructions;
mod mentor_questions;
mod mentoring;
mod messages;
mod ratings;
mod replies;
mod stats;
mod stream;
mod transfer;
mod tryouts;
mod unanswered;

use cairn_core::tools::Reason;
use cairn_core::tools::attempts::{self, Attempt, Usage};
use cairn_core::tools::replies::fail_open;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Actor, Reply, TestApp};

pub(crate) const ASSISTANT: &str = "/v1/tools/assistant/messages";

const TZ_HELPER: &str = "/v1/tools/tz_helper/messages";

const IDEAS: &str = "/v1/tools/ideas/messages";

const ASSISTANT_MESSAGES: &str = "SELECT count(*) FROM tool_messages WHERE role = 'assistant'";

async fn ask(actor: &Actor, path: &str, message: &str) -> Reply {
    actor.post(path, json!({"message": message})).await
}

/// Asks, and gives the id of the reply.
pub(crate) async fn asked(actor: &Actor, path: &str, message: &str) -> Uuid {
    id(&ask(actor, path, message).await.expect(202).json["reply_id"])
}

fn id(value: &Value) -> Uuid {
    value.as_str().unwrap().parse().unwrap()
}

async fn reply(actor: &Actor, reply_id: Uuid) -> Value {
    actor.get(&format!("/v1/replies/{reply_id}")).await.expect(200).json
}

async fn set(app: &TestApp, key: &str, value: i64) {
    sqlx::query("UPDATE platform_settings SET value = to_jsonb($2) WHERE key = $1")
        .bind(key)
        .bind(value)
        .execute(app.app.pool())
        .await
        .unwrap();
    app.app.settings.invalidate();
}

async fn begin(app: &TestApp, reply_id: Uuid) -> Option<Attempt> {
    let mut connection = app.app.pool().acquire().await.unwrap();
    attempts::begin(&mut connection, reply_id, "test", None).await.unwrap()
}

async fn append(app: &TestApp, attempt: &Attempt, seq: i32, text: &str) -> bool {
    let mut connection = app.app.pool().acquire().await.unwrap();
    attempts::append(&mut connection, attempt, seq, text, false).await.unwrap()
}

async fn complete(app: &TestApp, attempt: &Attempt, text: &str) -> bool {
    let mut tx = app.app.db.begin().await.unwrap();
    let usage =
        Usage { model: Some("m".into()), prompt_tokens: Some(3), completion_tokens: Some(5), ..Usage::default() };
    let completed = attempts::complete(&mut tx, attempt, text, &usage).await.unwrap();
    tx.commit().await.unwrap();
    completed
}

async fn fail(app: &TestApp, attempt: &Attempt) -> bool {
    let (mut tx, reason, usage) = (app.app.db.begin().await.unwrap(), Reason::ProviderError, Usage::default());
    let failed = attempts::fail(&mut tx, attempt, reason, reason, "HTTP 500", &usage).await.unwrap();
    tx.commit().await.unwrap();
    failed
}

async fn give_up(app: &TestApp, reply_id: Uuid) -> bool {
    let mut tx = app.app.db.begin().await.unwrap();
    let given_up = fail_open(&mut tx, reply_id, Reason::AttemptsExhausted).await.unwrap();
    tx.commit().await.unwrap();
    given_up
}
