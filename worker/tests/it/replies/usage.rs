//! What attempts used, however they ended.

use std::collections::HashMap;

use cairn_core::config::Price;
use cairn_stub_provider::Recorded;
use cairn_testing::eventually;
use uuid::Uuid;

use super::ReplyHarness;

#[derive(Debug, sqlx::FromRow)]
struct Used {
    provider: String,
    model: Option<String>,
    prompt_tokens: Option<i32>,
    completion_tokens: Option<i32>,
    first_token_ms: Option<i32>,
    cost_micros: Option<i64>,
    is_estimate: bool,
}

async fn used(fixture: &ReplyHarness, reply: Uuid) -> Vec<Used> {
    sqlx::query_as("SELECT * FROM ai_reply_attempts WHERE reply_id = $1 ORDER BY attempt")
        .bind(reply)
        .fetch_all(fixture.harness.pool())
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_attempt_records_its_usage_and_cost() {
    let mut fixture = ReplyHarness::new().await;
    fixture.ai().prices = HashMap::from([("default-model".to_owned(), Price { input: 2.0, output: 10.0 })]);
    let worker = fixture.harness.start();
    let host = fixture.stub.base_url().trim_start_matches("http://").trim_end_matches("/v1").to_owned();

    let reported = fixture.ask("stub:words=40 Hello?").await;
    fixture.completed(reported).await;
    let reported = used(&fixture, reported).await.pop().unwrap();
    assert_eq!(
        (&reported.provider, reported.model.as_deref(), reported.completion_tokens),
        (&host, Some("default-model"), Some(40))
    );
    let prompt = reported.prompt_tokens.unwrap();
    assert!(prompt > 0 && reported.first_token_ms.is_some(), "{reported:?}");
    assert_eq!((reported.cost_micros, reported.is_estimate), (Some(i64::from(prompt) * 2 + 400), false));

    // An answer that broke off after ten words, and one whose provider reports no usage: both are counted by the worker.
    let counted = fixture.ask("stub:words=20,at=10,fault=disconnect,times=1 Hello?").await;
    fixture.completed(counted).await;
    let broken = used(&fixture, counted).await.remove(0);
    assert!(broken.completion_tokens.unwrap() >= 10 && broken.prompt_tokens.unwrap() > 0, "{broken:?}");
    assert!(broken.cost_micros.unwrap() > 0 && broken.is_estimate, "generated text is billed");
    let silent = fixture.ask("stub:words=20,fault=no_done Hello?").await;
    fixture.completed(silent).await;
    assert!(used(&fixture, silent).await[0].completion_tokens.unwrap() >= 20);

    // A request that was rejected is not billed.
    let refused = fixture.ask("stub:fault=401 Hello?").await;
    fixture.finished(refused).await;
    let refused = used(&fixture, refused).await.pop().unwrap();
    assert_eq!((refused.prompt_tokens, refused.completion_tokens, refused.cost_micros), (None, None, None));
    worker.stop().await;
}

/// The provider's own numbers count even if the answer does not.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_paid_for_nothing_is_recorded() {
    let mut fixture = ReplyHarness::new().await;
    fixture.ai().prices = HashMap::from([("default-model".to_owned(), Price { input: 1.0, output: 1.0 })]);
    let worker = fixture.harness.start();
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":70,\"completion_tokens\":90,\"completion_tokens_details\":{\"reasoning_tokens\":90}}}\n\ndata: [DONE]\n\n";
    for (name, delta, end, reason) in [
        ("thought", "\"reasoning_content\":\"hm\"", "\"length\"", "only_thinking"),
        ("filtered", "\"content\":\"Hi\"", "\"content_filter\"", "content_filter"),
        ("declined", "\"refusal\":\"no\"", "\"stop\"", "refused"),
    ] {
        let body = format!("data: {{\"choices\":[{{\"delta\":{{{delta}}},\"finish_reason\":{end}}}]}}\n\n{usage}");
        fixture.stub.record(name, Recorded::ok("text/event-stream", body));
        let reply = fixture.ask(&format!("stub:{name} Hello?")).await;
        assert_eq!(fixture.finished(reply).await.reason.as_deref(), Some(reason));
        let [used] = &used(&fixture, reply).await[..] else { panic!("{name} is not asked again") };
        assert_eq!((used.prompt_tokens, used.completion_tokens), (Some(70), Some(90)), "{name}: {used:?}");
        assert_eq!((used.cost_micros, used.is_estimate), (Some(160), false), "{name}");
    }
    // An answer that is cancelled is estimated.
    let cancelled = fixture.ask("stub:words=100000,gap=5 Hello?").await;
    eventually("there is text", async || !fixture.stored(cancelled).await.text.is_empty()).await;
    fixture.cancel_all().await;
    eventually("the attempt has ended", async || {
        fixture.stored(cancelled).await.ends == [Some("cancelled".to_owned())]
    })
    .await;
    let cancelled = used(&fixture, cancelled).await.pop().unwrap();
    assert!(cancelled.completion_tokens > Some(0) && cancelled.is_estimate, "{cancelled:?}");
    worker.stop().await;
}

/// What a worker used that was killed is estimated from what it has stored.
#[tokio::test(flavor = "multi_thread")]
async fn the_usage_of_a_lost_attempt_is_estimated() {
    let fixture = ReplyHarness::new().await;
    let reply = fixture.ask("stub:words=10 Hello?").await;
    sqlx::raw_sql(
        "UPDATE ai_replies SET state = 'streaming', attempt = 1, started_at = now();
         INSERT INTO ai_reply_attempts (reply_id, attempt, prompt_tokens, is_estimate) SELECT id, 1, 50, true FROM ai_replies;
         INSERT INTO ai_reply_chunks (reply_id, attempt, seq, content)
         SELECT id, 1, n, 'four' FROM ai_replies, generate_series(1, 3) n",
    )
    .execute(fixture.harness.pool())
    .await
    .unwrap();
    let worker = fixture.harness.start();
    fixture.completed(reply).await;
    worker.stop().await;
    let lost: (Option<i32>, Option<i32>, bool) = sqlx::query_as(
        "SELECT prompt_tokens, completion_tokens, is_estimate FROM ai_reply_attempts WHERE reason = 'superseded'",
    )
    .fetch_one(fixture.harness.pool())
    .await
    .unwrap();
    assert_eq!(lost, (Some(50), Some(3), true));
}

/// If its worker is lost now, nobody will know whether the provider has accepted the request, so it counts.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_is_counted_before_its_request_is_made() {
    let fixture = ReplyHarness::new().await;
    let worker = fixture.harness.start();
    // The provider has the request, and says nothing.
    let reply = fixture.ask("stub:headers=3600000 Hello?").await;
    eventually("the provider is asked", async || fixture.stub.open() == 1).await;
    let asked = used(&fixture, reply).await.pop().unwrap();
    assert!(asked.prompt_tokens > Some(0) && asked.is_estimate, "{asked:?}");
    fixture.cancel_all().await;
    worker.stop().await;
    // A request that is refused was not billed after all.
    let worker = fixture.harness.start();
    let refused = fixture.ask("stub:fault=401 Hello?").await;
    fixture.finished(refused).await;
    let refused = used(&fixture, refused).await.pop().unwrap();
    assert_eq!((refused.prompt_tokens, refused.is_estimate), (None, false));
    worker.stop().await;
}
