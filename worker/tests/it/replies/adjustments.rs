//! What a model takes is learnt from what it refuses, once.

use cairn_core::config::{Adjustment, AiAdjustment};

use super::{ReplyHarness, answer};

async fn learnt(fixture: &ReplyHarness) -> Vec<(String, String)> {
    sqlx::query_as("SELECT model, adjustment FROM ai_adjustments ORDER BY model, adjustment")
        .fetch_all(fixture.harness.pool())
        .await
        .unwrap()
}

/// Asks twice, then once more with a new worker. Returns the number of calls of each question.
async fn calls(fixture: &ReplyHarness, script: &str) -> Vec<usize> {
    let (mut calls, mut before) = (Vec::new(), 0);
    for round in 0..2 {
        let worker = fixture.harness.start();
        for _ in round..2 {
            let reply = fixture.ask(&format!("stub:{script} What is a viewport?")).await;
            let stored = fixture.completed(reply).await;
            assert_eq!((stored.text, stored.attempt), (answer(script), 1), "{script}");
            let now = fixture.stub.calls(script);
            calls.push(now - before);
            before = now;
        }
        worker.stop().await;
    }
    calls
}

#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_costs_one_request_once_and_restarts_know_it() {
    for (demands, refusals) in [
        ("no_stream_options", 1),
        ("no_system_role", 1),
        ("max_completion_tokens", 1),
        ("no_temperature", 1),
        ("no_streaming", 1),
        ("no_stream_options+no_system_role+max_completion_tokens+no_temperature+no_streaming", 5),
    ] {
        let fixture = ReplyHarness::new().await;
        let script = format!("words=8,demands={demands}");
        assert_eq!(calls(&fixture, &script).await, [1 + refusals, 1, 1], "{demands}");
        let names: Vec<String> = learnt(&fixture).await.into_iter().map(|(_, name)| name).collect();
        let mut expected: Vec<&str> = demands.split('+').collect();
        expected.sort_unstable();
        assert_eq!(names, expected);
        let sent = fixture.stub.requests().pop().unwrap().body;
        if demands.contains("no_system_role") {
            let (first, roles) = (&sent["messages"][0], sent["messages"].as_array().unwrap().len());
            assert_eq!((first["role"].as_str(), roles), (Some("user"), 1), "{sent}");
            assert!(first["content"].as_str().unwrap().ends_with("What is a viewport?"), "{sent}");
        }
        if demands.contains("max_completion_tokens") {
            assert!(sent["max_completion_tokens"].is_number() && sent["max_tokens"].is_null(), "{sent}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_configured_costs_no_request_and_what_is_forbidden_is_not_tried() {
    let mut fixture = ReplyHarness::new().await;
    let rule = |adjustment, is_forbidden| AiAdjustment { model: None, adjustment, is_forbidden };
    fixture.ai().adjustments = vec![rule(Adjustment::NoStreamOptions, false), rule(Adjustment::NoStreaming, true)];
    assert_eq!(calls(&fixture, "words=3,demands=no_stream_options").await, [1, 1, 1]);
    let worker = fixture.harness.start();
    let reply = fixture.ask("stub:demands=no_streaming What is a viewport?").await;
    assert_eq!(fixture.finished(reply).await.reason.as_deref(), Some("bad_request"));
    assert_eq!(fixture.stub.calls("demands=no_streaming"), 1);
    assert_eq!(learnt(&fixture).await, []);
    worker.stop().await;
}

/// A model that needs one thing does not change how others are asked, and what does not help is not remembered.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_learnt_holds_for_one_model() {
    let fixture = ReplyHarness::new().await;
    assert_eq!(calls(&fixture, "words=3,demands=no_temperature").await, [2, 1, 1]);
    sqlx::query("UPDATE ai_system_instructions SET model = 'other'").execute(fixture.harness.pool()).await.unwrap();
    let worker = fixture.harness.start();
    let reply = fixture.ask("stub:words=4 What is a viewport?").await;
    fixture.completed(reply).await;
    worker.stop().await;
    let sent = fixture.stub.requests().pop().unwrap().body;
    assert!(sent["temperature"].is_number() && sent["model"] == "other", "{sent}");
    assert_eq!(learnt(&fixture).await, [("default-model".to_owned(), "no_temperature".to_owned())]);
}
