//! Replies, written by a stub of a provider that does what the question says.

mod context;
mod faults;
mod followed;
mod outage;
mod streaming;

use std::time::Duration;

use cairn_core::actor::{Caller, Origin, Role};
use cairn_core::clock::new_id;
use cairn_core::config::{AiConfig, Config};
use cairn_core::settings::Settings;
use cairn_core::tools::Tool;
use cairn_core::tools::questions::{self, Question};
use cairn_stub_provider::{Script, Stub};
use sqlx::FromRow;
use uuid::Uuid;

use crate::support::Bench;

/// What the provider is given as a key.
pub(crate) const KEY: &str = "sk-hunter2-hunter2";

/// A database, a provider, and learners who ask.
pub(crate) struct Desk {
    pub(crate) bench: Bench,
    pub(crate) stub: Stub,
}

/// A reply as it is stored.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct Stored {
    pub(crate) state: String,
    pub(crate) reason: Option<String>,
    /// Attempts begun.
    pub(crate) attempt: i32,
    /// The message with the answer.
    pub(crate) answer: Option<String>,
    /// The pieces of the current attempt, put together.
    pub(crate) text: String,
    /// Codes of how its attempts ended.
    pub(crate) ends: Vec<Option<String>>,
}

impl Desk {
    pub(crate) async fn new() -> Self {
        let mut bench = Bench::new().await;
        let stub = Stub::start().await.unwrap();
        bench.config.ai = Some(ai(&stub));
        Self { bench, stub }
    }

    /// How the provider is used.
    pub(crate) fn ai(&mut self) -> &mut AiConfig {
        self.bench.config.ai.as_mut().unwrap()
    }

    /// A learner.
    pub(crate) async fn learner(&self) -> Caller {
        let user_id = new_id();
        sqlx::query("INSERT INTO users (id, email, first_name) VALUES ($1, $2, 'Anna')")
            .bind(user_id)
            .bind(format!("{user_id}@example.test"))
            .execute(self.bench.pool())
            .await
            .unwrap();
        Caller { user_id, session_id: new_id(), role: Role::Student, origin: Origin::default() }
    }

    /// Another learner asks. Returns the reply's id.
    pub(crate) async fn ask(&self, question: &str) -> Uuid {
        self.ask_by(&self.learner().await, question).await
    }

    pub(crate) async fn ask_by(&self, learner: &Caller, question: &str) -> Uuid {
        let (mut tx, settings) = (self.bench.db.begin_as(learner).await.unwrap(), Settings::default());
        let question = Question { tool: Tool::Assistant, text: question, transferred_from: None };
        let accepted = questions::ask(&mut tx, &settings, &question).await.unwrap();
        tx.commit().await.unwrap();
        accepted.reply_id
    }

    pub(crate) async fn stored(&self, reply: Uuid) -> Stored {
        sqlx::query_as(
            "SELECT r.state::text, r.reason, r.attempt, m.content AS answer,
                 coalesce((SELECT string_agg(c.content, '' ORDER BY c.seq) FROM ai_reply_chunks c
                           WHERE c.reply_id = r.id AND c.attempt = r.attempt), '') AS text,
                 ARRAY(SELECT a.reason FROM ai_reply_attempts a WHERE a.reply_id = r.id ORDER BY a.attempt) AS ends
             FROM ai_replies r LEFT JOIN tool_messages m ON m.id = r.answer_id
             WHERE r.id = $1",
        )
        .bind(reply)
        .fetch_one(self.bench.pool())
        .await
        .unwrap()
    }

    pub(crate) async fn is_over(&self, reply: Uuid) -> bool {
        ["completed", "failed", "cancelled"].contains(&self.stored(reply).await.state.as_str())
    }

    /// Makes the replies that wait for their next attempt due, instead of waiting.
    pub(crate) async fn hurry(&self) {
        sqlx::query(
            "UPDATE apalis.jobs SET run_at = now() WHERE job_type = 'replies' AND status IN ('Pending', 'Failed')",
        )
        .execute(self.bench.pool())
        .await
        .unwrap();
    }

    /// Waits until a reply has its final state; what waits for its next attempt does not wait long.
    pub(crate) async fn over(&self, reply: Uuid) -> Stored {
        crate::support::eventually("the reply is final", async || {
            self.hurry().await;
            self.is_over(reply).await
        })
        .await;
        self.stored(reply).await
    }

    /// As [`Desk::over`], for a reply that is to be complete: checks what holds for all of those.
    pub(crate) async fn completed(&self, reply: Uuid) -> Stored {
        let stored = self.over(reply).await;
        assert_eq!((stored.state.as_str(), &stored.reason), ("completed", &None), "{stored:?}");
        assert_eq!(stored.answer.as_deref(), Some(stored.text.as_str()), "the pieces are the answer");
        let received: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM tool_messages m
             JOIN ai_replies r ON r.chat_id = m.chat_id JOIN tool_messages q ON q.id = r.question_id
             WHERE r.id = $1 AND m.role = 'assistant' AND m.created_at > q.created_at",
        )
        .bind(reply)
        .fetch_one(self.bench.pool())
        .await
        .unwrap();
        assert_eq!(received, 1, "one answer follows the question");
        stored
    }

    /// Replies that have been looked at and wait for their next attempt.
    pub(crate) async fn waiting(&self) -> i64 {
        self.count(
            "SELECT count(*) FROM apalis.jobs WHERE job_type = 'replies' AND status IN ('Pending', 'Failed')
             AND lock_at IS NOT NULL AND run_at > now()",
        )
        .await
    }

    /// Nobody wants an answer any more.
    pub(crate) async fn cancel_all(&self) {
        sqlx::query("UPDATE ai_replies SET state = 'cancelled', reason = 'cancelled', finished_at = now()")
            .execute(self.bench.pool())
            .await
            .unwrap();
    }

    pub(crate) async fn count(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(self.bench.pool()).await.unwrap()
    }
}

/// The stub as the provider.
fn ai(stub: &Stub) -> AiConfig {
    let values = [("BASE_URL", stub.base_url()), ("MODEL", "default-model".into()), ("API_KEY", KEY.into())];
    let values = values.into_iter().map(|(key, value)| (format!("CAIRN_AI_{key}"), value)).collect();
    let mut ai = Config::from_values(&values).unwrap().ai.unwrap();
    // Generous, because tests run beside others; those that need a limit to be reached set it.
    ai.limits.first_token = Duration::from_mins(1);
    ai.limits.silence = Duration::from_mins(1);
    ai.limits.total = Duration::from_mins(2);
    ai
}

/// What a script answers when nothing goes wrong.
pub(crate) fn answer(script: &str) -> String {
    script.parse::<Script>().unwrap().answer()
}
