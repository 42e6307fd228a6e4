//! Cancelling replies and clearing chats. What those who follow a reply see of it is tested with the streams.

use poem::http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Actor, Call, TestApp};
use crate::tools::{ASSISTANT, ASSISTANT_MESSAGES, IDEAS, append, ask, asked, begin, complete, fail, reply, set};

fn cancel(actor: &Actor, reply_id: Uuid) -> Call {
    actor.call(Method::POST, &format!("/v1/replies/{reply_id}/cancel"))
}

#[tokio::test]
async fn a_queued_reply_is_cancelled_at_once() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let reply_id = asked(&anna, ASSISTANT, "Hello?").await;
    let cancelled = cancel(&anna, reply_id).await.expect(200).json;
    assert_eq!((&cancelled["state"], &cancelled["reason"]), (&json!("cancelled"), &json!("cancelled")));
    assert_eq!((&cancelled["text"], &cancelled["answer_id"]), (&json!(""), &Value::Null));
    assert!(cancelled["finished_at"].is_string());
    assert_eq!(cancel(&anna, reply_id).await.expect(200).json, cancelled, "repeating it changes nothing");
    asked(&anna, ASSISTANT, "Another").await;
    app.run_jobs().await;
    assert_eq!(app.count(ASSISTANT_MESSAGES).await, 1, "only the other is answered");
    assert_eq!(app.count("SELECT count(*) FROM activity_log WHERE action = 'reply.cancelled'").await, 1);
    assert_eq!(anna.get("/v1/tools").await.json["quota"]["used"], 2, "the question counts all the same");
}

#[tokio::test]
async fn what_was_written_is_kept_as_a_message() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let reply_id = asked(&anna, IDEAS, "Hello?").await;
    let first = begin(&app, reply_id).await.unwrap();
    append(&app, &first, 1, "of an old attempt").await;
    let attempt = begin(&app, reply_id).await.unwrap();
    append(&app, &attempt, 1, "[IDEA_START]a map").await;
    append(&app, &attempt, 2, "[IDEA_END] and").await;
    let cancelled = cancel(&anna, reply_id).await.expect(200).json;
    assert_eq!(cancelled["text"], "[IDEA_START]a map[IDEA_END] and");
    assert_eq!(cancelled["has_copyable_content"], true);
    for attempt in [&first, &attempt] {
        assert!(!append(&app, attempt, 3, "more").await);
        assert!(!complete(&app, attempt, "whole").await);
        assert!(!fail(&app, attempt).await);
    }
    let items = anna.get(IDEAS).await.expect(200).json["items"].clone();
    assert_eq!((&items[0]["id"], &items[0]["content"]), (&cancelled["answer_id"], &cancelled["text"]));
    assert_eq!((&items[0]["role"], &items[0]["reply_state"]), (&json!("assistant"), &json!("cancelled")));
    assert_eq!((&items[1]["role"], &items[1]["reply_state"]), (&json!("user"), &json!("cancelled")));
    app.run_jobs().await;
    assert_eq!(app.count(ASSISTANT_MESSAGES).await, 1);
    let reasons: Vec<String> = sqlx::query_scalar("SELECT reason FROM ai_reply_attempts ORDER BY attempt")
        .fetch_all(app.app.pool())
        .await
        .unwrap();
    assert_eq!(reasons, ["superseded", "cancelled"]);
}

#[tokio::test]
async fn what_is_over_cannot_be_cancelled() {
    let app = TestApp::new().await;
    let (anna, ben) = (app.student("anna").await, app.student("ben").await);
    let completed = asked(&anna, ASSISTANT, "Hello?").await;
    app.run_jobs().await;
    cancel(&anna, completed).await.expect(409).problem("reply_finished");
    let failed = asked(&anna, ASSISTANT, "Again?").await;
    fail(&app, &begin(&app, failed).await.unwrap()).await;
    cancel(&anna, failed).await.expect(409).problem("reply_finished");
    assert_eq!(reply(&anna, completed).await["state"], "completed");
    assert_eq!(reply(&anna, failed).await["state"], "failed");
    let open = asked(&anna, ASSISTANT, "Mine").await;
    cancel(&ben, open).await.expect(404).problem("reply_not_found");
    cancel(&anna, Uuid::from_u128(1)).await.expect(404).problem("reply_not_found");
    app.call(Method::POST, &format!("/v1/replies/{open}/cancel")).await.expect(401);
    app.run_jobs().await;
    assert_eq!(reply(&anna, open).await["state"], "completed");
}

/// The first of two concurrent changes wins, and the other has no effect.
#[tokio::test]
async fn cancelling_and_completing_at_once_leave_one_message() {
    let app = TestApp::new().await;
    set(&app, "ai.daily_questions", 1000).await;
    let anna = app.student("anna").await;
    for round in 0..20 {
        let reply_id = asked(&anna, ASSISTANT, "Hello?").await;
        let attempt = begin(&app, reply_id).await.unwrap();
        append(&app, &attempt, 1, "Half").await;
        let (more, completed, cancelled) = tokio::join!(
            append(&app, &attempt, 2, " more"),
            complete(&app, &attempt, "Whole"),
            cancel(&anna, reply_id)
        );
        let state = reply(&anna, reply_id).await;
        let (expected, text) = match (completed, more) {
            (true, _) => ("completed", "Whole"),
            (false, true) => ("cancelled", "Half more"),
            (false, false) => ("cancelled", "Half"),
        };
        cancelled.expect(if completed { 409 } else { 200 });
        assert_eq!((&state["state"], &state["text"]), (&json!(expected), &json!(text)), "round {round}");
        assert_eq!(app.count(ASSISTANT_MESSAGES).await, round + 1, "round {round}");
    }
    app.run_jobs().await;
}

#[tokio::test]
async fn clearing_empties_one_chat() {
    let app = TestApp::new().await;
    let (anna, ben) = (app.student("anna").await, app.student("ben").await);
    for (actor, path) in [(&anna, ASSISTANT), (&anna, IDEAS), (&ben, ASSISTANT)] {
        asked(actor, path, "Hello?").await;
    }
    app.run_jobs().await;
    anna.delete(ASSISTANT).await.expect(204);
    anna.delete(ASSISTANT).await.expect(204);
    let left = async |actor: &Actor, path| actor.get(path).await.json["items"].as_array().unwrap().len();
    assert_eq!(
        (left(&anna, ASSISTANT).await, left(&anna, IDEAS).await, left(&ben, ASSISTANT).await),
        (0, 2, 2),
        "other chats are left alone"
    );
    assert_eq!(anna.get("/v1/tools").await.json["quota"]["used"], 2, "clearing gives no questions back");
    asked(&anna, ASSISTANT, "Anew").await;
    app.run_jobs().await;
    assert_eq!(left(&anna, ASSISTANT).await, 2);
    assert_eq!(app.count("SELECT count(*) FROM activity_log WHERE action = 'chat.cleared'").await, 1);
    // Nothing there, nothing done.
    ben.delete(IDEAS).await.expect(204);
    assert_eq!(app.count("SELECT count(*) FROM tool_chats").await, 3);
    ben.delete("/v1/tools/oracle/messages").invalid().await.expect(400);
    app.call(Method::DELETE, IDEAS).await.expect(401);
}

/// What was kept for repeated requests goes too, and a request that arrives late still asks nothing again.
#[tokio::test]
async fn clearing_a_chat_removes_its_texts_from_what_idempotency_keys_keep() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let ask = async |path: &str, body: Value, key: &str| {
        let answer = anna.post(path, body).header("Idempotency-Key", key).await.expect(202).json;
        app.run_jobs().await;
        answer
    };
    let question = json!({"message": "My secret question"});
    let transfer = json!({"text": "My secret idea"});
    let asked = ask(ASSISTANT, question.clone(), "question").await;
    ask(IDEAS, question.clone(), "elsewhere").await;
    let transferred = ask("/v1/tools/assistant/transfer", transfer.clone(), "idea").await;
    let with_texts = "SELECT count(*) FROM idempotency_keys WHERE response::text LIKE '%secret%'";
    assert_eq!(app.count(with_texts).await, 3);
    anna.delete(ASSISTANT).await.expect(204);
    assert_eq!(app.count(with_texts).await, 1, "that of the other chat");
    for (path, body, key, before) in
        [(ASSISTANT, question, "question", asked), ("/v1/tools/assistant/transfer", transfer, "idea", transferred)]
    {
        let again = ask(path, body, key).await;
        assert_eq!((&again["reply_id"], &again["message"]["id"]), (&before["reply_id"], &before["message"]["id"]));
        assert_eq!(again["message"]["content"], "");
    }
    assert_eq!(anna.get(ASSISTANT).await.json["items"], json!([]));
}

#[tokio::test]
async fn clearing_while_a_reply_completes_leaves_nothing_half_done() {
    let app = TestApp::new().await;
    set(&app, "ai.daily_questions", 1000).await;
    let anna = app.student("anna").await;
    for round in 0..20 {
        let reply_id = asked(&anna, ASSISTANT, "Hello?").await;
        let attempt = begin(&app, reply_id).await.unwrap();
        append(&app, &attempt, 1, "Half").await;
        let (completed, cleared) = tokio::join!(complete(&app, &attempt, "Whole"), anna.delete(ASSISTANT));
        cleared.expect(204);
        let state = reply(&anna, reply_id).await;
        let expected = if completed { "completed" } else { "cancelled" };
        assert_eq!((&state["state"], &state["text"]), (&json!(expected), &json!("")), "round {round}");
        assert_eq!(app.count("SELECT count(*) FROM tool_messages").await, 0, "round {round}");
    }
    ask(&anna, ASSISTANT, "Still there?").await.expect(202);
    app.run_jobs().await;
}
