//! Instructions of the tools.

use futures_util::future::join_all;
use poem::http::Method;
use serde_json::{Value, json};

use super::{ASSISTANT, asked, begin};
use crate::support::{Actor, TestApp};

const VERSIONS: &str = "/v1/admin/tools/assistant/instructions";

fn draft(content: &str) -> Value {
    json!({"content": content, "model": "small", "temperature": 0.3, "max_tokens": 800, "include_learner": false})
}

async fn activate(admin: &Actor, version: i32) -> Value {
    admin.call(Method::POST, &format!("{VERSIONS}/{version}/activate")).await.expect(200).json
}

async fn versions(app: &TestApp) -> Vec<(i32, bool)> {
    sqlx::query_as(
        "SELECT version, is_active FROM ai_system_instructions WHERE tool_type = 'assistant' ORDER BY version",
    )
    .fetch_all(app.app.pool())
    .await
    .unwrap()
}

#[tokio::test]
async fn instructions_have_versions_of_which_one_counts() {
    let app = TestApp::new().await;
    let (ada, anna) = (app.admin("ada").await, app.student("anna").await);
    let made = ada.post(VERSIONS, draft("Be brief.")).await.expect(201).json;
    assert_eq!((&made["version"], &made["is_active"]), (&json!(2), &json!(false)));
    assert_eq!((&made["temperature"], &made["max_tokens"]), (&json!(0.3), &json!(800)));
    assert_eq!(made["created_by"], json!(ada.id));
    assert_eq!(anna.get("/v1/tools").await.json["items"][0]["model"], Value::Null, "not active yet");
    let asked_before = asked(&anna, ASSISTANT, "Hello?").await;
    let active = activate(&ada, 2).await;
    assert_eq!((&active["id"], &active["is_active"]), (&made["id"], &json!(true)));
    assert_eq!(activate(&ada, 2).await, active, "repeating it changes nothing");
    assert_eq!(versions(&app).await, [(1, false), (2, true)]);
    assert_eq!(anna.get("/v1/tools").await.json["items"][0]["model"], "small");
    assert!(begin(&app, asked_before).await.unwrap().request.instruction.starts_with("You are a mentor"));
    app.run_jobs().await;
    let asked_after = asked(&anna, ASSISTANT, "Hello?").await;
    assert_eq!(begin(&app, asked_after).await.unwrap().request.instruction, "Be brief.");
    let overview = ada.get("/v1/admin/tools").await.expect(200).json["items"].clone();
    let active: Vec<(&str, i64)> = overview
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["tool_type"].as_str().unwrap(), item["version"].as_i64().unwrap()))
        .collect();
    assert_eq!(active, [("assistant", 2), ("ideas", 1), ("tz_helper", 1)]);
    app.run_jobs().await;
    let actions: Vec<(String, Value)> =
        sqlx::query_as("SELECT action, metadata FROM activity_log WHERE actor_id = $1 ORDER BY occurred_at, id")
            .bind(ada.id)
            .fetch_all(app.app.pool())
            .await
            .unwrap();
    assert_eq!(actions[0].0, "instruction.created");
    let activated = ("instruction.activated".to_owned(), json!({"tool_type": "assistant", "before": 1, "after": 2}));
    assert_eq!(actions[1..], [activated]);
}

#[tokio::test]
async fn versions_are_listed_newest_first() {
    let app = TestApp::new().await;
    let ada = app.admin("ada").await;
    for n in 2..=5 {
        ada.post(VERSIONS, draft(&format!("Version {n}"))).await.expect(201);
    }
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = ada.get(&format!("{VERSIONS}?limit=2{cursor}")).await.expect(200).json;
        seen.extend(page["items"].as_array().unwrap().iter().map(|item| item["version"].as_i64().unwrap()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, [5, 4, 3, 2, 1]);
    assert_eq!(ada.get(&format!("{VERSIONS}/3")).await.expect(200).json["content"], "Version 3");
    ada.get(&format!("{VERSIONS}/6")).await.expect(404).problem("instruction_not_found");
    ada.get(&format!("{VERSIONS}/0")).invalid().await.expect(400);
    ada.get(&format!("{VERSIONS}?cursor=x")).await.expect(400).blames(&[("cursor", "malformed")]);
    let missing = ada.call(Method::POST, &format!("{VERSIONS}/6/activate"));
    missing.await.expect(404).problem("instruction_not_found");
    assert_eq!(ada.get("/v1/admin/tools/ideas/instructions").await.json["items"].as_array().unwrap().len(), 1);
    app.run_jobs().await;
}

#[tokio::test]
async fn admins_who_change_instructions_at_once_do_not_collide() {
    let app = TestApp::new().await;
    let ada = app.admin("ada").await;
    let made = join_all((0..10).map(|_| async { ada.post(VERSIONS, draft("x")).await })).await;
    let mut numbers: Vec<i64> = made.into_iter().map(|m| m.expect(201).json["version"].as_i64().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (2..=11).collect::<Vec<i64>>());
    join_all((2..=11).map(|version| activate(&ada, version))).await;
    let active = app.count("SELECT count(*) FROM ai_system_instructions WHERE is_active").await;
    assert_eq!(active, 3, "one for each tool");
    let send = |key: &str| ada.post(VERSIONS, draft("once")).header("Idempotency-Key", key);
    let (first, second) = tokio::join!(send("k"), send("k"));
    assert_eq!(first.expect(201).json, second.expect(201).json);
    let other = ada.post(VERSIONS, draft("other")).header("Idempotency-Key", "k");
    other.await.expect(409).problem("idempotency_key_reused");
    app.run_jobs().await;
}

#[tokio::test]
async fn bad_instructions_are_refused_precisely() {
    let app = TestApp::new().await;
    let ada = app.admin("ada").await;
    let with = |member: &str, value: Value| {
        let mut body = draft("x");
        body[member] = value;
        body
    };
    for (body, pointer, code) in [
        (with("content", json!("")), "/content", "too_short"),
        (with("content", json!("x".repeat(50_001))), "/content", "too_long"),
        (with("model", json!("")), "/model", "too_short"),
        (with("model", json!("m".repeat(201))), "/model", "too_long"),
        (with("temperature", json!(2.1)), "/temperature", "too_large"),
        (with("temperature", json!(-0.1)), "/temperature", "too_small"),
        (with("max_tokens", json!(15)), "/max_tokens", "too_small"),
        (with("max_tokens", json!(32_001)), "/max_tokens", "too_large"),
        (with("max_tokens", Value::Null), "/max_tokens", "wrong_type"),
        (with("include_learner", json!("yes")), "/include_learner", "wrong_type"),
        (json!({"content": "x", "max_tokens": 16}), "/include_learner", "required"),
    ] {
        ada.post(VERSIONS, body).invalid().await.expect(422).blames(&[(pointer, code)]);
    }
    ada.post(VERSIONS, with("content", json!(" \n"))).await.expect(422).blames(&[("/content", "blank")]);
    ada.post(VERSIONS, with("model", json!(" "))).await.expect(422).blames(&[("/model", "blank")]);
    assert_eq!(versions(&app).await, [(1, true)]);
    for model_of_its_own in [with("temperature", Value::Null), with("model", Value::Null)] {
        ada.post(VERSIONS, model_of_its_own).await.expect(201);
    }
    app.run_jobs().await;
}
