//! Asking for replies again.

use chrono::{DateTime, TimeDelta, Utc};
use poem::http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Actor, Call, TestApp};
use crate::tools::{ASSISTANT, ASSISTANT_MESSAGES, IDEAS, TZ_HELPER, append, asked, begin, complete, fail, reply, set};

fn retry(actor: &Actor, reply_id: Uuid) -> Call {
    actor.call(Method::POST, &format!("/v1/replies/{reply_id}/retry"))
}

async fn cancel(actor: &Actor, reply_id: Uuid) {
    actor.call(Method::POST, &format!("/v1/replies/{reply_id}/cancel")).await.expect(200);
}

#[tokio::test]
async fn a_failed_reply_is_written_anew() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let reply_id = asked(&anna, ASSISTANT, "Hello?").await;
    let old = begin(&app, reply_id).await.unwrap();
    append(&app, &old, 1, "Half").await;
    fail(&app, &old).await;
    let answer = retry(&anna, reply_id).await.expect(202).json;
    assert_eq!((&answer["id"], &answer["state"], &answer["text"]), (&json!(reply_id), &json!("queued"), &json!("")));
    assert_eq!((&answer["reason"], &answer["finished_at"]), (&Value::Null, &Value::Null));
    assert_eq!(answer["attempts"], 1);
    assert!(!append(&app, &old, 2, "late").await, "the old attempt stays over");
    assert!(!complete(&app, &old, "late").await);
    app.run_jobs().await;
    let done = reply(&anna, reply_id).await;
    assert_eq!((&done["state"], &done["attempts"]), (&json!("completed"), &json!(2)));
    let items = anna.get(ASSISTANT).await.expect(200).json["items"].clone();
    assert_eq!(items.as_array().unwrap().len(), 2, "one question, one answer");
    assert_eq!((&items[0]["id"], &items[1]["reply_state"]), (&done["answer_id"], &json!("completed")));
    assert_eq!(app.count("SELECT count(*) FROM activity_log WHERE action = 'reply.retried'").await, 1);
}

#[tokio::test]
async fn what_was_left_of_a_cancelled_reply_goes() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let reply_id = asked(&anna, ASSISTANT, "Hello?").await;
    append(&app, &begin(&app, reply_id).await.unwrap(), 1, "Half").await;
    cancel(&anna, reply_id).await;
    assert_eq!(app.count(ASSISTANT_MESSAGES).await, 1);
    retry(&anna, reply_id).await.expect(202);
    assert_eq!(app.count(ASSISTANT_MESSAGES).await, 0);
    // It can be cancelled again before anybody has begun, and there is nothing to keep.
    cancel(&anna, reply_id).await;
    assert_eq!(reply(&anna, reply_id).await["answer_id"], Value::Null);
    retry(&anna, reply_id).await.expect(202);
    app.run_jobs().await;
    assert_eq!(reply(&anna, reply_id).await["state"], "completed");
    assert_eq!(app.count(ASSISTANT_MESSAGES).await, 1);
    assert_eq!(app.count("SELECT count(*) FROM ai_reply_attempts").await, 2, "the jobs of earlier times do nothing");
}

#[tokio::test]
async fn only_what_failed_or_was_cancelled_can_be_retried() {
    let app = TestApp::new().await;
    let (anna, ben) = (app.student("anna").await, app.student("ben").await);
    let reply_id = asked(&anna, ASSISTANT, "Hello?").await;
    retry(&anna, reply_id).await.expect(409).problem("reply_not_retryable");
    app.run_jobs().await;
    retry(&anna, reply_id).await.expect(409).problem("reply_not_retryable");
    let cancelled = asked(&anna, ASSISTANT, "Again?").await;
    cancel(&anna, cancelled).await;
    retry(&ben, cancelled).await.expect(404).problem("reply_not_found");
    retry(&anna, Uuid::from_u128(1)).await.expect(404).problem("reply_not_found");
    app.call(Method::POST, &format!("/v1/replies/{cancelled}/retry")).await.expect(401);
    // The question is gone.
    anna.delete(ASSISTANT).await.expect(204);
    retry(&anna, cancelled).await.expect(409).problem("reply_not_retryable");
    app.run_jobs().await;
}

#[tokio::test]
async fn the_limits_of_questions_hold_for_retries() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let first = asked(&anna, ASSISTANT, "One").await;
    cancel(&anna, first).await;
    let open = asked(&anna, ASSISTANT, "Two").await;
    retry(&anna, first).await.expect(409).problem("reply_open");
    cancel(&anna, open).await;
    for path in [TZ_HELPER, IDEAS] {
        asked(&anna, path, "Three").await;
    }
    let refused = retry(&anna, first).await.expect(429).problem("too_many_open_replies");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 0);
    app.run_jobs().await;
    set(&app, "ai.daily_questions", 4).await;
    let refused = retry(&anna, first).await.expect(429).problem("quota_exceeded");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 86_000);
    assert_eq!(reply(&anna, first).await["state"], "cancelled", "what is refused changes nothing");
    set(&app, "ai.daily_questions", 5).await;
    retry(&anna, first).await.expect(202);
    let quota = anna.get("/v1/tools").await.json["quota"].clone();
    assert_eq!((&quota["used"], &quota["limit"]), (&json!(5), &json!(5)), "a retry counts as a question");
    app.run_jobs().await;
}

#[tokio::test]
async fn a_retry_counts_when_it_was_asked_for() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let reply_id = asked(&anna, ASSISTANT, "One").await;
    cancel(&anna, reply_id).await;
    // Asked the day before yesterday, retried now.
    sqlx::query(
        "UPDATE ai_replies SET created_at = created_at - interval '2 days', queued_at = queued_at - interval '2 days'",
    )
    .execute(app.app.pool())
    .await
    .unwrap();
    assert_eq!(anna.get("/v1/tools").await.json["quota"]["used"], 0);
    retry(&anna, reply_id).await.expect(202);
    let quota = anna.get("/v1/tools").await.json["quota"].clone();
    assert_eq!(quota["used"], 1);
    let resets_at: DateTime<Utc> = quota["resets_at"].as_str().unwrap().parse().unwrap();
    let retried_at: DateTime<Utc> =
        sqlx::query_scalar("SELECT retried_at[1] FROM ai_replies").fetch_one(app.app.pool()).await.unwrap();
    assert_eq!(resets_at, retried_at + TimeDelta::days(1));
    app.run_jobs().await;
}

#[tokio::test]
async fn a_reply_is_not_retried_without_end() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let reply_id = asked(&anna, ASSISTANT, "One").await;
    for _ in 0..20 {
        cancel(&anna, reply_id).await;
        retry(&anna, reply_id).await.expect(202);
    }
    cancel(&anna, reply_id).await;
    retry(&anna, reply_id).await.expect(409).problem("reply_not_retryable");
    app.run_jobs().await;
    assert_eq!(app.count("SELECT count(*) FROM ai_reply_attempts").await, 0);
}

#[tokio::test]
async fn retrying_at_once_is_done_once() {
    let app = TestApp::new().await;
    for round in 0..10 {
        let anna = app.student(&format!("anna{round}")).await;
        let reply_id = asked(&anna, ASSISTANT, "One").await;
        cancel(&anna, reply_id).await;
        let (first, second) = tokio::join!(retry(&anna, reply_id), retry(&anna, reply_id));
        let mut statuses = [first.status.as_u16(), second.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [202, 409], "{first:?} {second:?}");
        assert_eq!(anna.get("/v1/tools").await.json["quota"]["used"], 2);
    }
    app.run_jobs().await;
    assert_eq!(app.count(ASSISTANT_MESSAGES).await, 10);
}

/// A reply that is asked for again is asked for now: under the instruction that counts now.
#[tokio::test]
async fn a_retry_is_answered_under_the_instruction_of_now() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let reply_id = asked(&anna, ASSISTANT, "Hello?").await;
    cancel(&anna, reply_id).await;
    sqlx::raw_sql(
        "UPDATE ai_system_instructions SET is_active = false WHERE tool_type = 'assistant';
         INSERT INTO ai_system_instructions (tool_type, version, content, model, is_active)
         VALUES ('assistant', 2, 'Be brief.', 'small', true);",
    )
    .execute(app.app.pool())
    .await
    .unwrap();
    retry(&anna, reply_id).await.expect(202);
    let attempt = begin(&app, reply_id).await.unwrap();
    assert_eq!((attempt.request.instruction.as_str(), attempt.request.model.as_deref()), ("Be brief.", Some("small")));
    app.run_jobs().await;
}
