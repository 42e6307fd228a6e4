//! Replies wait for a provider that is down.

use std::time::Duration;

use super::{ReplyHarness, answer};
use cairn_testing::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_ten_minutes_loses_no_reply_and_occupies_no_slot() {
    let mut fixture = ReplyHarness::new().await;
    fixture.harness.config.worker_queues.retain(|(queue, _)| queue.name() == "replies");
    fixture.harness.config.worker_queues[0].1 = 2;
    let worker = fixture.harness.start();
    fixture.stub.set_out(true);
    let mut replies = Vec::new();
    for _ in 0..6 {
        replies.push(fixture.ask("stub:words=5 Hello?").await);
    }
    // Ten minutes, one minute at a time. In each of them all replies have failed or been deferred again, and none is running.
    for _ in 0..10 {
        eventually("all replies wait", async || fixture.waiting().await == 6).await;
        sqlx::query("UPDATE ai_replies SET queued_at = queued_at - interval '1 minute'")
            .execute(fixture.harness.pool())
            .await
            .unwrap();
        fixture.make_due().await;
    }
    fixture.stub.set_out(false);
    for reply in replies {
        let stored = fixture.completed(reply).await;
        assert_eq!(stored.text, answer("words=5"));
        assert!(stored.ends.iter().flatten().all(|end| end == "unreachable"), "{stored:?}");
    }
    assert_eq!(fixture.stub.total_calls(), 6);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_is_given_up_after_half_an_hour() {
    let fixture = ReplyHarness::new().await;
    let worker = fixture.harness.start();
    fixture.stub.set_out(true);
    let mut replies = Vec::new();
    // Enough replies that the last ones are deferred without an attempt.
    for _ in 0..12 {
        replies.push(fixture.ask("stub:words=5 Hello?").await);
    }
    eventually("all replies wait", async || fixture.waiting().await == 12).await;
    sqlx::query("UPDATE ai_replies SET queued_at = queued_at - interval '30 minutes'")
        .execute(fixture.harness.pool())
        .await
        .unwrap();
    for reply in replies {
        let stored = fixture.finished(reply).await;
        assert_eq!((stored.state.as_str(), stored.reason.as_deref()), ("failed", Some("provider_unavailable")));
    }
    eventually("the dead jobs are visible to operators", async || {
        fixture.harness.count("replies", "Killed").await == 12
    })
    .await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_down_is_not_called_by_every_reply() {
    let mut fixture = ReplyHarness::new().await;
    for (queue, concurrency) in &mut fixture.harness.config.worker_queues {
        if queue.name() == "replies" {
            *concurrency = 1;
        }
    }
    for _ in 0..40 {
        fixture.ask("stub:fault=500 Hello?").await;
    }
    let worker = fixture.harness.start();
    eventually("all replies wait", async || fixture.waiting().await == 40).await;
    // Five failures open the breaker. It then allows one trial call every few seconds.
    let calls = fixture.stub.total_calls();
    assert!((5..20).contains(&calls), "{calls} calls for 40 replies");
    let attempts = fixture.count("SELECT count(*) FROM ai_reply_attempts").await;
    assert_eq!(usize::try_from(attempts).unwrap(), calls, "a deferral is not an attempt");
    worker.stop().await;
}

/// Each of them is silent for too long, which says nothing about the next question.
#[tokio::test(flavor = "multi_thread")]
async fn slow_answers_do_not_make_other_learners_wait() {
    let mut fixture = ReplyHarness::new().await;
    fixture.ai().limits.first_token = Duration::from_secs(1);
    fixture.ai().limits.silence = Duration::from_secs(1);
    let (worker, ops) = fixture.harness.serve().await;
    let mut slow = Vec::new();
    for n in 0..8 {
        let script = if n % 2 == 0 { "headers=600000" } else { "fault=stall,at=0" };
        slow.push(fixture.ask(&format!("stub:{script} Hello?")).await);
    }
    for reply in slow {
        eventually("the attempt has ended", async || {
            fixture.stored(reply).await.ends.first() == Some(&Some("silent".to_owned()))
        })
        .await;
    }
    let reply = fixture.ask("stub:words=5 Hello?").await;
    eventually("the reply is final", async || fixture.is_final(reply).await).await;
    assert_eq!(fixture.stored(reply).await.text, answer("words=5"));
    assert_eq!(ops.metric("cairn_replies_deferred_total").await, Some(0.0));
    worker.stop().await;
}

/// A limit on the rate concerns everybody.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_limits_everybody_is_left_alone() {
    let mut fixture = ReplyHarness::new().await;
    for (queue, concurrency) in &mut fixture.harness.config.worker_queues {
        if queue.name() == "replies" {
            *concurrency = 1;
        }
    }
    for _ in 0..20 {
        fixture.ask("stub:fault=429 Hello?").await;
    }
    let worker = fixture.harness.start();
    eventually("all replies wait", async || fixture.waiting().await == 20).await;
    let calls = fixture.stub.total_calls();
    assert!((5..15).contains(&calls), "{calls} calls for 20 replies");
    worker.stop().await;
}
