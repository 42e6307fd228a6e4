//! What a model takes is learnt from what it refuses, once.

use std::time::Duration;

use cairn_core::config::{Adjustment, AiAdjustment, AiApi};

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
    let chat = || AiApi::Chat;
    let azure = || AiApi::Azure { version: "2024-10-21".to_owned() };
    let responses = |is_background| AiApi::Responses { is_background };
    let all = "no_stream_options+no_system_role+max_completion_tokens+no_temperature+no_streaming";
    for (api, demands, learnt_then) in [
        // Some endpoints accept every request, and refuse it in place of the answer.
        (chat(), "no_temperature,accepts=1", "no_temperature"),
        (chat(), "no_stream_options+max_completion_tokens,accepts=1", "no_stream_options+max_completion_tokens"),
        (chat(), "no_stream_options", "no_stream_options"),
        (chat(), "no_system_role", "no_system_role"),
        (chat(), "developer_role", "developer_role"),
        (chat(), "max_completion_tokens", "max_completion_tokens"),
        (chat(), "no_token_limit", "max_completion_tokens+no_token_limit"),
        (chat(), "no_temperature", "no_temperature"),
        (chat(), "no_streaming", "no_streaming"),
        (chat(), all, all),
        (azure(), all, all),
        (
            responses(false),
            "no_system_role+no_temperature+no_token_limit",
            "no_system_role+no_temperature+no_token_limit",
        ),
        (responses(true), "no_background", "no_background"),
        (responses(false), "no_store", "no_store"),
        (responses(true), "no_background+no_store", "no_background+no_store"),
    ] {
        let mut fixture = ReplyHarness::new().await;
        if matches!(api, AiApi::Azure { .. }) {
            fixture.ai().base_url = fixture.stub.base_url().trim_end_matches("/v1").to_owned();
        }
        fixture.ai().api = api.clone();
        let script = format!("words=8,demands={demands}");
        let mut expected: Vec<&str> = learnt_then.split('+').collect();
        expected.sort_unstable();
        assert_eq!(calls(&fixture, &script).await, [1 + expected.len(), 1, 1], "{api:?} {demands}");
        let names: Vec<String> = learnt(&fixture).await.into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, expected, "{api:?}");
        let sent = fixture.stub.requests().pop().unwrap().body;
        if demands.contains("no_system_role") && sent["messages"].is_array() {
            let (first, roles) = (&sent["messages"][0], sent["messages"].as_array().unwrap().len());
            assert_eq!((first["role"].as_str(), roles), (Some("user"), 1), "{sent}");
            assert!(first["content"].as_str().unwrap().ends_with("What is a viewport?"), "{sent}");
        }
        if demands == "developer_role" {
            assert_eq!(sent["messages"][0]["role"], "developer", "{sent}");
        }
        if demands.contains("max_completion_tokens") {
            assert!(sent["max_completion_tokens"].is_number() && sent["max_tokens"].is_null(), "{sent}");
        }
    }
}

/// Those who ask at the same time as the first wait until it has learnt what they would have to learn.
#[tokio::test(flavor = "multi_thread")]
async fn many_who_ask_at_once_meet_a_refusal_once() {
    let fixture = ReplyHarness::new().await;
    let script = "words=8,headers=200,demands=no_temperature+no_stream_options";
    let mut replies = Vec::new();
    for n in 0..16 {
        replies.push(fixture.ask(&format!("stub:{script} What is a viewport? ({n})")).await);
    }
    let worker = fixture.harness.start();
    for reply in replies {
        assert_eq!(fixture.completed(reply).await.attempt, 1);
    }
    worker.stop().await;
    assert_eq!(fixture.stub.calls(script), 16 + 2);
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

/// Of an answer that arrives as a whole, a gateway may have waited in vain. It was perhaps billed, so it is not asked for many times.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_gives_up_waiting_for_a_whole_answer_is_not_asked_again_and_again() {
    let mut fixture = ReplyHarness::new().await;
    fixture.ai().adjustments =
        vec![AiAdjustment { model: None, adjustment: Adjustment::NoStreaming, is_forbidden: false }];
    fixture.ai().limits.first_token = Duration::from_secs(1);
    let worker = fixture.harness.start();
    let reply = fixture.ask("stub:headers=600,fault=504 What is a viewport?").await;
    let stored = fixture.finished(reply).await;
    assert_eq!((stored.attempt, stored.reason.as_deref()), (2, Some("too_slow")), "{stored:?}");
    // One that fails at once is asked until it works.
    let reply = fixture.ask("stub:fault=504,times=3,words=3 What is a viewport?").await;
    assert_eq!(fixture.completed(reply).await.attempt, 4);
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
