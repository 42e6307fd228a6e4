//! Taking ideas from one tool to another.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{ASSISTANT, ASSISTANT_MESSAGES, IDEAS, TZ_HELPER, asked, begin, complete, id, set};
use crate::support::{Actor, Call, TestApp};

fn transfer(actor: &Actor, tool: &str, body: Value) -> Call {
    actor.post(&format!("/v1/tools/{tool}/transfer"), body)
}

/// The message that answers a question, as written.
async fn answered(app: &TestApp, actor: &Actor, path: &str, text: &str) -> Uuid {
    let reply_id = asked(actor, path, "Idea?").await;
    assert!(complete(app, &begin(app, reply_id).await.unwrap(), text).await);
    id(&actor.get(&format!("{path}?limit=1")).await.expect(200).json["items"][0]["id"])
}

#[tokio::test]
async fn an_idea_is_asked_about_in_another_tool() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let answer = "Here: [IDEA_START]\n**Name:** a map of wells\n[IDEA_END]\nand [IDEA_START]another[IDEA_END]";
    let message_id = answered(&app, &anna, IDEAS, answer).await;
    let moved = transfer(&anna, "tz_helper", json!({"message_id": message_id})).await.expect(202).json;
    assert_eq!(moved["message"]["content"], "**Name:** a map of wells");
    assert_eq!((&moved["state"], &moved["message"]["role"]), (&json!("queued"), &json!("user")));
    let moved_text = transfer(&anna, "assistant", json!({"text": "  A map of wells\n"})).await.expect(202).json;
    assert_eq!(moved_text["message"]["content"], "A map of wells");
    app.run_jobs().await;
    for (path, moved) in [(TZ_HELPER, &moved), (ASSISTANT, &moved_text)] {
        let items = anna.get(path).await.expect(200).json["items"].clone();
        assert_eq!(items.as_array().unwrap().len(), 2);
        assert_eq!((&items[0]["role"], &items[0]["reply_id"]), (&json!("assistant"), &moved["reply_id"]));
        assert_eq!(items[1]["id"], moved["message"]["id"]);
    }
    let asked: Vec<Value> = sqlx::query_scalar(
        "SELECT metadata FROM activity_log WHERE action = 'question.asked' ORDER BY occurred_at, id",
    )
    .fetch_all(app.app.pool())
    .await
    .unwrap();
    let from: Vec<&Value> = asked.iter().map(|metadata| &metadata["transferred_from"]).collect();
    assert_eq!(from, [&Value::Null, &json!(message_id), &Value::Null]);
    assert_eq!(anna.get("/v1/tools").await.json["quota"]["used"], 3);
}

#[tokio::test]
async fn a_repeated_transfer_is_done_once() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    let message_id = answered(&app, &anna, IDEAS, "[IDEA_START]wells[IDEA_END]").await;
    let send =
        || transfer(&anna, "tz_helper", json!({"message_id": message_id})).header("Idempotency-Key", "double-click");
    let (first, second) = tokio::join!(send(), send());
    let (first, second) = (first.expect(202).json, second.expect(202).json);
    assert_eq!(first, second);
    app.run_jobs().await;
    assert_eq!(send().await.expect(202).json, first, "also after the answer");
    let other = transfer(&anna, "tz_helper", json!({"text": "x"})).header("Idempotency-Key", "double-click");
    other.await.expect(409).problem("idempotency_key_reused");
    let elsewhere = transfer(&anna, "assistant", json!({"message_id": message_id}));
    elsewhere.header("Idempotency-Key", "double-click").await.expect(409).problem("idempotency_key_reused");
    assert_eq!(app.count(ASSISTANT_MESSAGES).await, 2);
}

#[tokio::test]
async fn what_cannot_be_taken_is_refused_precisely() {
    let app = TestApp::new().await;
    set(&app, "ai.max_message_chars", 10).await;
    let (anna, ben) = (app.student("anna").await, app.student("ben").await);
    let plain = answered(&app, &anna, IDEAS, "no block here").await;
    let blank = answered(&app, &anna, IDEAS, "[IDEA_START] \n [IDEA_END]").await;
    let long = answered(&app, &anna, IDEAS, "[IDEA_START]01234567890[IDEA_END]").await;
    let fine = answered(&app, &anna, IDEAS, "[IDEA_START]wells[IDEA_END]").await;
    for (tool, message_id, code) in
        [("tz_helper", plain, "no_block"), ("tz_helper", blank, "blank"), ("ideas", fine, "same_tool")]
    {
        let refused = transfer(&anna, tool, json!({"message_id": message_id})).await;
        refused.expect(422).problem("invalid_body").blames(&[("/message_id", code)]);
    }
    let refused = transfer(&anna, "tz_helper", json!({"message_id": long})).await.expect(422);
    refused.problem("message_too_long").blames(&[("/message_id", "too_long")]);
    transfer(&ben, "tz_helper", json!({"message_id": fine})).await.expect(404).problem("message_not_found");
    let nobody = Uuid::from_u128(1);
    transfer(&anna, "tz_helper", json!({"message_id": nobody})).await.expect(404).problem("message_not_found");
    for body in [json!({}), json!({"message_id": fine, "text": "x"}), json!({"message_id": null, "text": null})] {
        transfer(&anna, "tz_helper", body).await.expect(422).problem("invalid_body").blames(&[("", "one_of")]);
    }
    transfer(&anna, "tz_helper", json!({"text": " \n"})).await.expect(422).blames(&[("/text", "blank")]);
    let refused = transfer(&anna, "tz_helper", json!({"text": "01234567890"})).await.expect(422);
    refused.problem("message_too_long").blames(&[("/text", "too_long")]);
    for (body, pointer, code) in [
        (json!({"message_id": "x"}), "/message_id", "malformed"),
        (json!({"text": ""}), "/text", "too_short"),
        (json!({"text": 5}), "/text", "wrong_type"),
    ] {
        transfer(&anna, "tz_helper", body).invalid().await.expect(422).blames(&[(pointer, code)]);
    }
    transfer(&anna, "oracle", json!({"text": "x"})).invalid().await.expect(400);
    app.post("/v1/tools/ideas/transfer", json!({"text": "x"})).await.expect(401);
    assert_eq!(app.count("SELECT count(*) FROM tool_chats WHERE tool_type <> 'ideas'").await, 0);
    app.run_jobs().await;
}

#[tokio::test]
async fn the_limits_of_questions_hold_for_transfers() {
    let app = TestApp::new().await;
    let anna = app.student("anna").await;
    asked(&anna, TZ_HELPER, "One").await;
    transfer(&anna, "tz_helper", json!({"text": "x"})).await.expect(409).problem("reply_open");
    asked(&anna, ASSISTANT, "Two").await;
    transfer(&anna, "ideas", json!({"text": "x"})).await.expect(429).problem("too_many_open_replies");
    app.run_jobs().await;
    set(&app, "ai.daily_questions", 2).await;
    let refused = transfer(&anna, "ideas", json!({"text": "x"})).await.expect(429).problem("quota_exceeded");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 0);
}
