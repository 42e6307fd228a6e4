//! The dialects of Azure and of the Responses API.

use std::time::Duration;

use cairn_core::config::AiApi;
use cairn_stub_provider::Recorded;
use cairn_testing::eventually;
use cairn_testing::processes::{Program, free_port};
use tempfile::TempDir;

use super::{KEY, ReplyHarness, answer};

#[tokio::test(flavor = "multi_thread")]
async fn azure_is_asked_by_its_paths_and_with_its_header() {
    let mut fixture = ReplyHarness::new().await;
    let base_url = fixture.stub.base_url().trim_end_matches("/v1").to_owned();
    fixture.ai().base_url = base_url;
    fixture.ai().api = AiApi::Azure { version: "2024-10-21".to_owned() };
    let worker = fixture.harness.start();
    let reply = fixture.ask("stub:words=7 What is a viewport?").await;
    assert_eq!(fixture.completed(reply).await.text, answer("words=7"));
    let asked = fixture.stub.requests().pop().unwrap();
    assert_eq!(asked.path, "/openai/deployments/default-model/chat/completions?api-version=2024-10-21");
    assert_eq!((asked.api_key.as_deref(), asked.authorization), (Some(KEY), None));
    let reply = fixture.ask("stub:fault=401 What is a viewport?").await;
    assert_eq!(fixture.finished(reply).await.reason.as_deref(), Some("unauthorized"));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_responses_api_is_asked_and_its_failures_are_asked_anew() {
    for is_background in [false, true] {
        let mut fixture = ReplyHarness::new().await;
        fixture.ai().api = AiApi::Responses { is_background };
        let worker = fixture.harness.start();
        let reply = fixture.ask("stub:words=7,write=3 What is a viewport?").await;
        assert_eq!(fixture.completed(reply).await.text, answer("words=7"));
        let sent = fixture.stub.requests().pop().unwrap().body;
        assert_eq!((sent["store"] == is_background, sent["background"] == true), (true, is_background), "{sent}");
        assert!(sent["instructions"].is_string() && sent["max_output_tokens"].is_number(), "{sent}");
        // An answer that has failed at the provider is of no use, so each attempt asks anew.
        let reply = fixture.ask("stub:words=4,fault=error What is a viewport?").await;
        let stored = fixture.finished(reply).await;
        assert_eq!((stored.reason.as_deref(), stored.attempt), (Some("broken_off"), 5), "{stored:?}");
        assert_eq!(fixture.stub.calls("words=4,fault=error"), 5);
        worker.stop().await;
    }
}

/// Written after openai/openai-python#2828: what was not begun as a stream, or some minutes ago, is read as a whole once it is written.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_the_background_that_is_not_streamed_is_waited_for_and_paid_once() {
    let mut fixture = ReplyHarness::new().await;
    fixture.ai().api = AiApi::Responses { is_background: true };
    let worker = fixture.harness.start();
    let script = "words=6,gap=300,demands=no_streaming";
    let reply = fixture.ask(&format!("stub:{script} What is a viewport?")).await;
    let stored = fixture.completed(reply).await;
    assert_eq!((stored.text, stored.attempt), (answer(script), 1));
    assert_eq!(fixture.stub.calls(script), 2, "one was refused");
    worker.stop().await;
    let used = "SELECT sum(completion_tokens)::bigint FROM ai_reply_attempts WHERE NOT is_estimate";
    assert_eq!(fixture.count(used).await, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_not_kept_any_more_is_asked_for_by_another_attempt() {
    let mut fixture = ReplyHarness::new().await;
    fixture.ai().api = AiApi::Responses { is_background: true };
    let created = r#"{"type":"response.created","response":{"id":"resp_gone","object":"response","status":"queued"}}"#;
    fixture.stub.record("gone", Recorded::ok("text/event-stream", format!("data: {created}\n\n")));
    let worker = fixture.harness.start();
    let reply = fixture.ask("stub:gone What is a viewport?").await;
    let stored = fixture.finished(reply).await;
    assert_eq!((stored.reason.as_deref(), stored.attempt), (Some("unknown_end"), 2), "{stored:?}");
    worker.stop().await;
    let attempts = fixture.count("SELECT count(*) FROM ai_reply_attempts").await;
    assert_eq!((attempts, fixture.stub.calls("gone")), (2, 2), "each request is an attempt");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_the_background_is_stopped_if_nobody_wants_it_any_more() {
    let mut fixture = ReplyHarness::new().await;
    fixture.ai().api = AiApi::Responses { is_background: true };
    let worker = fixture.harness.start();
    let reply = fixture.ask("stub:words=100000,gap=5 What is a viewport?").await;
    eventually("there is text", async || !fixture.stored(reply).await.text.is_empty()).await;
    fixture.cancel_all().await;
    eventually("the provider is told", async || fixture.stub.abandoned() == 1).await;
    worker.stop().await;
    // Between two attempts as well, when no worker is busy with it, and what was used until then is counted.
    let worker = fixture.harness.start();
    let reply = fixture.ask("stub:words=100000,gap=5 What is a viewport again?").await;
    eventually("there is text", async || !fixture.stored(reply).await.text.is_empty()).await;
    worker.stop().await;
    fixture.cancel_all().await;
    let worker = fixture.harness.start();
    eventually("the provider is told", async || fixture.stub.abandoned() == 2).await;
    worker.stop().await;
    let counted = "SELECT count(*) FROM ai_reply_attempts WHERE prompt_tokens > 0 AND completion_tokens > 0";
    assert_eq!(fixture.count(counted).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_the_background_is_paid_once_however_often_its_worker_is_killed() {
    survive_four_kills().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_the_background_is_counted_once_however_often_its_worker_is_stopped() {
    let mut fixture = ReplyHarness::new().await;
    fixture.ai().api = AiApi::Responses { is_background: true };
    fixture.ai().limits.at_stop = Duration::ZERO;
    let script = "words=100,fault=stall,at=20";
    let reply = fixture.ask(&format!("stub:{script} Hello?")).await;
    for stop in 1..=3 {
        let worker = fixture.harness.start();
        eventually("there is text of this attempt", async || {
            let stored = fixture.stored(reply).await;
            stored.attempt == stop && !stored.text.is_empty()
        })
        .await;
        worker.stop().await;
    }
    fixture.stub.release();
    let worker = fixture.harness.start();
    let stored = fixture.completed(reply).await;
    worker.stop().await;
    assert_eq!((stored.text, fixture.stub.calls(script)), (answer(script), 1));
    assert_eq!(fixture.count("SELECT sum(completion_tokens) FROM ai_reply_attempts").await, 100);
    assert_eq!(fixture.count("SELECT count(*) FROM ai_reply_attempts WHERE prompt_tokens IS NOT NULL").await, 1);
}

/// The same with fifty answers, which takes minutes. `docs/AI.md` has the command.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn two_hundred_kills_cost_no_second_call() {
    for answer in 1..=50 {
        survive_four_kills().await;
        println!("{} kills, {answer} answers, each paid once", 4 * answer);
    }
}

/// The worker of an answer is killed again and again. Whoever comes next goes on with the same answer.
async fn survive_four_kills() {
    let fixture = ReplyHarness::new().await;
    let logs = TempDir::new().unwrap();
    let environment = vec![
        ("DATABASE_URL", fixture.harness.url()),
        ("CAIRN_OPS_ADDR", format!("127.0.0.1:{}", free_port().unwrap())),
        ("CAIRN_LOG", "warn".to_owned()),
        ("CAIRN_AI_BASE_URL", fixture.stub.base_url()),
        ("CAIRN_AI_MODEL", "stub".to_owned()),
        ("CAIRN_AI_API", "responses".to_owned()),
        ("CAIRN_AI_BACKGROUND", "on".to_owned()),
    ];
    let program = Program::new("cairn-worker", environment, logs.path().join("worker.log"));
    let script = "words=100,fault=stall,at=20";
    let reply = fixture.ask(&format!("stub:{script} Hello?")).await;
    // Four, because a reply that seems to crash its workers is given up.
    for kill in 1..=4 {
        let mut process = program.start(None).unwrap();
        // At different points: as soon as the provider has been asked, and when there is text.
        eventually("the worker reads the answer", async || {
            fixture.stored(reply).await.attempt == kill && fixture.stub.open() == 1
        })
        .await;
        if kill > 1 {
            eventually("there is text", async || !fixture.stored(reply).await.text.is_empty()).await;
        }
        process.kill().unwrap();
        sqlx::raw_sql(
            "UPDATE apalis.workers SET last_seen = now() - interval '1 hour';
             UPDATE apalis.jobs SET run_at = now() WHERE status = 'Failed'",
        )
        .execute(fixture.harness.pool())
        .await
        .unwrap();
        eventually("the provider has noticed", async || fixture.stub.open() == 0).await;
    }
    fixture.stub.release();
    let process = program.start(None).unwrap();
    let stored = fixture.completed(reply).await;
    assert_eq!((stored.text, stored.attempt), (answer(script), 5));
    assert_eq!(fixture.stub.calls(script), 1, "it is paid once");
    let paid: i64 = sqlx::query_scalar("SELECT sum(completion_tokens) FROM ai_reply_attempts")
        .fetch_one(fixture.harness.pool())
        .await
        .unwrap();
    assert_eq!(paid, 100, "and counted once");
    drop(process);
}
