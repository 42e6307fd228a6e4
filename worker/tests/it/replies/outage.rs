//! A provider that is down is waited for.

use super::{Desk, answer};
use crate::support::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_ten_minutes_loses_no_reply_and_holds_no_place() {
    let mut desk = Desk::new().await;
    desk.bench.config.worker_queues.retain(|(queue, _)| queue.name() == "replies");
    desk.bench.config.worker_queues[0].1 = 2;
    let worker = desk.bench.start();
    desk.stub.set_out(true);
    let mut replies = Vec::new();
    for _ in 0..6 {
        replies.push(desk.ask("stub:words=5 Hello?").await);
    }
    // Ten minutes, a minute at a time: all have failed or stood aside once more, and none is running.
    for _ in 0..10 {
        eventually("all wait", async || desk.waiting().await == 6).await;
        sqlx::query("UPDATE ai_replies SET queued_at = queued_at - interval '1 minute'")
            .execute(desk.bench.pool())
            .await
            .unwrap();
        desk.hurry().await;
    }
    desk.stub.set_out(false);
    for reply in replies {
        let stored = desk.completed(reply).await;
        assert_eq!(stored.text, answer("words=5"));
        assert!(stored.ends.iter().flatten().all(|end| end == "unreachable"), "{stored:?}");
    }
    assert_eq!(desk.stub.total_calls(), 6);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_is_given_up_after_half_an_hour() {
    let desk = Desk::new().await;
    let worker = desk.bench.start();
    desk.stub.set_out(true);
    let mut replies = Vec::new();
    // Enough of them that the last ones are not even tried.
    for _ in 0..12 {
        replies.push(desk.ask("stub:words=5 Hello?").await);
    }
    eventually("all wait", async || desk.waiting().await == 12).await;
    sqlx::query("UPDATE ai_replies SET queued_at = queued_at - interval '30 minutes'")
        .execute(desk.bench.pool())
        .await
        .unwrap();
    for reply in replies {
        let stored = desk.over(reply).await;
        assert_eq!((stored.state.as_str(), stored.reason.as_deref()), ("failed", Some("provider_unavailable")));
    }
    eventually("operators are told", async || desk.bench.count("replies", "Killed").await == 12).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_down_is_not_called_by_every_reply() {
    let mut desk = Desk::new().await;
    for (queue, places) in &mut desk.bench.config.worker_queues {
        if queue.name() == "replies" {
            *places = 1;
        }
    }
    for _ in 0..40 {
        desk.ask("stub:fault=500 Hello?").await;
    }
    let worker = desk.bench.start();
    eventually("all wait", async || desk.waiting().await == 40).await;
    // Five close the door; one more may knock every few seconds.
    let calls = desk.stub.total_calls();
    assert!((5..20).contains(&calls), "{calls} calls for 40 replies");
    let begun = desk.count("SELECT count(*) FROM ai_reply_attempts").await;
    assert_eq!(usize::try_from(begun).unwrap(), calls, "standing aside is no attempt");
    worker.stop().await;
}
