//! Replies.

mod cancel;
mod retry;
mod sources;

use serde_json::json;
use uuid::Uuid;

use super::{ASSISTANT, ASSISTANT_MESSAGES, IDEAS, append, ask, asked, begin, complete, fail, give_up, id, reply, set};
use crate::support::TestApp;

#[tokio::test]
async fn a_reply_is_its_owners() {
    let app = TestApp::new().await;
    let (anna, ben, ada) = (app.student("anna").await, app.student("ben").await, app.admin("ada").await);
    let reply_id = asked(&anna, IDEAS, "Mine").await;
    let path = format!("/v1/replies/{reply_id}");
    for other in [&ben, &ada] {
        other.get(&path).await.expect(404).problem("reply_not_found");
    }
    app.get(&path).await.expect(401);
    anna.get(&format!("/v1/replies/{}", Uuid::from_u128(1))).await.expect(404).problem("reply_not_found");
    anna.get("/v1/replies/x").invalid().await.expect(400).blames(&[("reply_id", "malformed")]);
    app.run_jobs().await;
}

#[tokio::test]
async fn only_the_latest_attempt_writes() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let reply_id = asked(&anna, ASSISTANT, "Hello?").await;
    let first = begin(&app, reply_id).await.unwrap();
    assert_eq!((first.number, first.request.question.as_str(), first.user_id), (1, "Hello?", anna.id));
    assert!(append(&app, &first, 1, "Old ").await);
    assert!(append(&app, &first, 2, "text").await);
    let seen = reply(&anna, reply_id).await;
    assert_eq!(
        (&seen["state"], &seen["text"], &seen["attempts"]),
        (&json!("streaming"), &json!("Old text"), &json!(1))
    );
    let second = begin(&app, reply_id).await.unwrap();
    assert_eq!(second.number, 2);
    assert_eq!(reply(&anna, reply_id).await["text"], "", "a new attempt starts over");
    assert!(!append(&app, &first, 3, "late").await);
    assert!(!complete(&app, &first, "Old text").await);
    assert!(!fail(&app, &first).await);
    assert!(append(&app, &second, 1, "New\0 ").await, "a NUL cannot be stored and is left out");
    assert_eq!(reply(&anna, reply_id).await["text"], "New ");
    assert!(complete(&app, &second, "New [ТЗ_START]\0text[ТЗ_END]").await);
    for attempt in [&first, &second] {
        assert!(!complete(&app, attempt, "Again").await);
        assert!(!append(&app, attempt, 9, "again").await);
        assert!(!fail(&app, attempt).await);
    }
    assert!(begin(&app, reply_id).await.is_none());
    let done = reply(&anna, reply_id).await;
    assert_eq!((&done["state"], &done["text"]), (&json!("completed"), &json!("New [ТЗ_START]text[ТЗ_END]")));
    assert_eq!(done["has_copyable_content"], true);
    assert_eq!(app.count(ASSISTANT_MESSAGES).await, 1);
    let attempts: Vec<(i32, bool, Option<String>, Option<i32>)> = sqlx::query_as(
        "SELECT attempt, finished_at IS NOT NULL, error, completion_tokens FROM ai_reply_attempts ORDER BY attempt",
    )
    .fetch_all(app.app.pool())
    .await
    .unwrap();
    let superseded = Some("superseded by a later attempt".to_owned());
    assert_eq!(attempts, [(1, true, superseded, None), (2, true, None, Some(5))]);
    // The job that was enqueued finds nothing to do.
    app.run_jobs().await;
    assert_eq!(app.count(ASSISTANT_MESSAGES).await, 1);
    assert_eq!(app.count("SELECT count(*) FROM activity_log WHERE action = 'reply.received'").await, 1);
}

#[tokio::test]
async fn completing_at_once_writes_one_answer() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    for round in 0..10 {
        let reply_id = asked(&anna, ASSISTANT, "Hello?").await;
        let attempt = begin(&app, reply_id).await.unwrap();
        let (a, b, c) =
            tokio::join!(complete(&app, &attempt, "A"), complete(&app, &attempt, "B"), fail(&app, &attempt));
        assert_eq!([a, b, c].into_iter().filter(|won| *won).count(), 1, "round {round}");
        let expected = i64::from(!c);
        let answers: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM tool_messages m JOIN ai_replies r ON r.answer_id = m.id WHERE r.id = $1",
        )
        .bind(reply_id)
        .fetch_one(app.app.pool())
        .await
        .unwrap();
        assert_eq!(answers, expected);
    }
    let answered = app.count("SELECT count(*) FROM ai_replies WHERE state = 'completed'").await;
    assert_eq!(app.count(ASSISTANT_MESSAGES).await, answered);
    app.run_jobs().await;
    assert_eq!(app.count("SELECT count(*) FROM activity_log WHERE action = 'reply.received'").await, answered);
}

#[tokio::test]
async fn asking_while_a_reply_completes_never_deadlocks() {
    let app = TestApp::new().await;
    set(&app, "ai.daily_questions", 1000).await;
    let anna = app.student("anna").await;
    let mut reply_id = asked(&anna, ASSISTANT, "First").await;
    for _ in 0..30 {
        let attempt = begin(&app, reply_id).await.unwrap();
        let (completed, next) = tokio::join!(complete(&app, &attempt, "Done"), ask(&anna, ASSISTANT, "Next"));
        assert!(completed);
        reply_id = match next.status.as_u16() {
            202 => id(&next.json["reply_id"]),
            409 => asked(&anna, ASSISTANT, "Once more").await,
            status => panic!("{status}: {next:#?}"),
        };
    }
    let mixed =
        "SELECT count(*) FROM (SELECT role, lag(role) OVER (ORDER BY created_at, id) AS before FROM tool_messages) m
                 WHERE role = before";
    assert_eq!(app.count(mixed).await, 0, "questions and answers alternate");
    app.run_jobs().await;
}

#[tokio::test]
async fn a_failed_reply_says_why_and_frees_the_chat() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let first = asked(&anna, ASSISTANT, "Hello?").await;
    let attempt = begin(&app, first).await.unwrap();
    assert!(append(&app, &attempt, 1, "Half").await);
    assert!(fail(&app, &attempt).await);
    let failed = reply(&anna, first).await;
    assert_eq!(
        (&failed["state"], &failed["reason"], &failed["text"]),
        (&json!("failed"), &json!("provider_error"), &json!("Half"))
    );
    assert!(failed["finished_at"].is_string());
    let second = asked(&anna, ASSISTANT, "Again?").await;
    assert!(give_up(&app, second).await);
    assert!(!give_up(&app, second).await);
    assert!(!give_up(&app, first).await);
    assert_eq!(reply(&anna, second).await["reason"], "attempts_exhausted");
    assert_eq!(app.count(ASSISTANT_MESSAGES).await, 0);
    app.run_jobs().await;
    assert_eq!(app.count(ASSISTANT_MESSAGES).await, 0);
}

#[tokio::test]
async fn a_reply_keeps_the_instruction_it_was_asked_under() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let reply_id = asked(&anna, ASSISTANT, "Hello?").await;
    sqlx::raw_sql(
        "UPDATE ai_system_instructions SET is_active = false WHERE tool_type = 'assistant';
         INSERT INTO ai_system_instructions (tool_type, version, content, model, is_active)
         VALUES ('assistant', 2, 'Be brief.', 'small', true);",
    )
    .execute(app.app.pool())
    .await
    .unwrap();
    let attempt = begin(&app, reply_id).await.unwrap();
    assert!(attempt.request.instruction.starts_with("You are a mentor"), "{}", attempt.request.instruction);
    assert_eq!(attempt.request.model, None);
    assert_eq!(anna.get("/v1/tools").await.expect(200).json["items"][0]["model"], "small");
    app.run_jobs().await;
}

#[tokio::test]
async fn a_deleted_chat_ends_its_reply_quietly() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let reply_id = asked(&anna, ASSISTANT, "Hello?").await;
    let attempt = begin(&app, reply_id).await.unwrap();
    sqlx::query("DELETE FROM tool_chats").execute(app.app.pool()).await.unwrap();
    assert!(!append(&app, &attempt, 1, "x").await);
    assert!(!complete(&app, &attempt, "x").await);
    assert!(begin(&app, reply_id).await.is_none());
    app.run_jobs().await;
    assert_eq!(app.count("SELECT count(*) FROM tool_messages").await, 0);
}
