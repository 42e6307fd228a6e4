//! Text is stored and announced as it comes, and whoever stops it is heeded.

use std::time::Duration;

use cairn_core::queue::REPLIES_CHANNEL;
use sqlx::postgres::PgListener;
use uuid::Uuid;

use super::{Desk, answer};
use crate::support::{Bench, eventually};

async fn chunks(bench: &Bench, reply: Uuid) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM ai_reply_chunks WHERE reply_id = $1")
        .bind(reply)
        .fetch_one(bench.pool())
        .await
        .unwrap()
}

async fn cancel(desk: &Desk, reply: Uuid) {
    let cancelled = sqlx::query(
        "UPDATE ai_replies SET state = 'cancelled', reason = 'cancelled', finished_at = now()
         WHERE id = $1 AND state IN ('queued', 'streaming')",
    );
    cancelled.bind(reply).execute(desk.bench.pool()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn text_is_stored_in_order_and_readers_are_told_by_id_alone() {
    let desk = Desk::new().await;
    let mut listener = PgListener::connect_with(desk.bench.pool()).await.unwrap();
    listener.listen(REPLIES_CHANNEL).await.unwrap();
    let worker = desk.bench.start();
    let script = "words=60,gap=20";
    let reply = desk.ask(&format!("stub:{script} Hello?")).await;
    let stored = desk.completed(reply).await;
    assert_eq!(stored.text, answer(script));
    let pieces: Vec<(i32, i32)> = sqlx::query_as("SELECT attempt, seq FROM ai_reply_chunks ORDER BY attempt, seq")
        .fetch_all(desk.bench.pool())
        .await
        .unwrap();
    assert_eq!(pieces, (1..).map(|seq| (1, seq)).take(pieces.len()).collect::<Vec<_>>());
    assert!(pieces.len() > 1, "it was stored as it came");
    worker.stop().await;
    for _ in 0..2 {
        let notification = tokio::time::timeout(Duration::from_mins(1), listener.recv()).await.unwrap().unwrap();
        let ids: Vec<Uuid> = notification.payload().split(',').map(|id| id.parse().unwrap()).collect();
        assert_eq!(ids, [reply]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_built_in_provider_streams_as_well() {
    let bench = Bench::new().await;
    let desk = Desk { bench, stub: cairn_stub_provider::Stub::start().await.unwrap() };
    let worker = desk.bench.start();
    let reply = desk.ask("How do I start?").await;
    let stored = desk.completed(reply).await;
    assert!(stored.text.starts_with("This is the built-in library provider"), "{}", stored.text);
    assert!(chunks(&desk.bench, reply).await > 1);
    assert_eq!(desk.stub.total_calls(), 0);
    let provider: String =
        sqlx::query_scalar("SELECT provider FROM ai_reply_attempts").fetch_one(desk.bench.pool()).await.unwrap();
    assert_eq!(provider, "library");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_reply_is_left_and_keeps_what_it_has() {
    let desk = Desk::new().await;
    let worker = desk.bench.start();
    // One whose provider writes, one whose provider is silent, and one that is never told to write.
    for (n, script) in ["words=100000,gap=5", "fault=stall", "fault=stall,at=0"].into_iter().enumerate() {
        let reply = desk.ask(&format!("stub:{script} Hello?")).await;
        if script.ends_with("at=0") {
            eventually("it is asked", async || desk.stub.open() == 1).await;
        } else {
            eventually("there is text", async || chunks(&desk.bench, reply).await > 0).await;
        }
        cancel(&desk, reply).await;
        let kept = desk.stored(reply).await.text;
        eventually("the provider is left", async || desk.stub.hung_up() == n + 1).await;
        eventually("the attempt is over", async || desk.stored(reply).await.ends == [Some("cancelled".to_owned())])
            .await;
        let stored = desk.stored(reply).await;
        assert_eq!((stored.state.as_str(), stored.text), ("cancelled", kept), "nothing is written afterwards");
        assert_eq!(stored.answer, None);
    }
    eventually("the jobs are done", async || desk.bench.count("replies", "Done").await == 3).await;
    // One that was cancelled before its turn is not even begun.
    worker.stop().await;
    let reply = desk.ask("stub:words=3 Hello?").await;
    cancel(&desk, reply).await;
    let worker = desk.bench.start();
    eventually("the job is done", async || desk.bench.count("replies", "Done").await == 4).await;
    assert_eq!((desk.stored(reply).await.attempt, desk.stub.calls("words=3")), (0, 0));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cleared_chat_ends_its_reply_quietly() {
    let desk = Desk::new().await;
    let worker = desk.bench.start();
    let reply = desk.ask("stub:words=100000,gap=5 Hello?").await;
    eventually("there is text", async || chunks(&desk.bench, reply).await > 0).await;
    sqlx::query("DELETE FROM tool_chats").execute(desk.bench.pool()).await.unwrap();
    eventually("the provider is left", async || desk.stub.hung_up() == 1).await;
    eventually("the job is done", async || desk.bench.count("replies", "Done").await == 1).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_never_write_one_reply() {
    let desk = Desk::new().await;
    let (one, two) = (desk.bench.start(), desk.bench.start());
    let script = "words=20,gap=5";
    let mut replies = Vec::new();
    for _ in 0..40 {
        replies.push(desk.ask(&format!("stub:{script} Hello?")).await);
    }
    for reply in replies {
        let stored = desk.completed(reply).await;
        assert_eq!((stored.text, stored.attempt), (answer(script), 1));
    }
    assert_eq!(desk.stub.total_calls(), 40);
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_hands_its_reply_over() {
    let mut desk = Desk::new().await;
    desk.ai().limits.at_stop = Duration::ZERO;
    let first = desk.bench.start();
    let script = "words=100,gap=50";
    let reply = desk.ask(&format!("stub:{script} Hello?")).await;
    eventually("there is text", async || chunks(&desk.bench, reply).await > 0).await;
    first.stop().await;
    let stored = desk.stored(reply).await;
    assert_eq!((stored.state.as_str(), stored.attempt), ("queued", 1));
    assert_eq!(stored.ends, [Some("interrupted".to_owned())]);
    assert!(answer(script).starts_with(&stored.text) && !stored.text.is_empty());
    let due: bool = sqlx::query_scalar("SELECT run_at <= now() FROM apalis.jobs WHERE job_type = 'replies'")
        .fetch_one(desk.bench.pool())
        .await
        .unwrap();
    assert!(due, "another worker takes it at once");
    let second = desk.bench.start();
    let stored = desk.completed(reply).await;
    assert_eq!((stored.text, stored.attempt, desk.stub.calls(script)), (answer(script), 2, 2));
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_finishes_what_is_nearly_done() {
    let desk = Desk::new().await;
    let worker = desk.bench.start();
    let script = "words=30,gap=50";
    let reply = desk.ask(&format!("stub:{script} Hello?")).await;
    eventually("there is text", async || chunks(&desk.bench, reply).await > 0).await;
    worker.stop().await;
    let stored = desk.stored(reply).await;
    assert_eq!((stored.state.as_str(), stored.attempt), ("completed", 1), "{stored:?}");
    assert_eq!(stored.answer, Some(answer(script)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_workers_reply_is_written_by_another() {
    let desk = Desk::new().await;
    let script = "words=10";
    let reply = desk.ask(&format!("stub:{script} Hello?")).await;
    // A worker began it, wrote half, and was killed.
    sqlx::raw_sql(
        "INSERT INTO apalis.workers (id, worker_type, storage_name, last_seen) VALUES ('gone', 'replies', 'cairn', now() - interval '1 hour');
         UPDATE apalis.jobs SET status = 'Running', lock_by = 'gone', attempts = 1 WHERE job_type = 'replies';
         UPDATE ai_replies SET state = 'streaming', attempt = 1, started_at = now();
         INSERT INTO ai_reply_attempts (reply_id, attempt) SELECT id, 1 FROM ai_replies;
         INSERT INTO ai_reply_chunks (reply_id, attempt, seq, content) SELECT id, 1, 1, 'half' FROM ai_replies",
    )
    .execute(desk.bench.pool())
    .await
    .unwrap();
    let worker = desk.bench.start();
    let stored = desk.completed(reply).await;
    assert_eq!((stored.text, stored.attempt, desk.stub.calls(script)), (answer(script), 2, 1));
    assert_eq!(stored.ends, [Some("superseded".to_owned()), None]);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_takes_its_workers_down_is_given_up() {
    let desk = Desk::new().await;
    let reply = desk.ask("stub:words=10 Hello?").await;
    sqlx::raw_sql(
        "UPDATE ai_replies SET state = 'streaming', attempt = 5;
         INSERT INTO ai_reply_attempts (reply_id, attempt, reason, finished_at)
         SELECT id, n, 'superseded', now() FROM ai_replies, generate_series(1, 5) n",
    )
    .execute(desk.bench.pool())
    .await
    .unwrap();
    let worker = desk.bench.start();
    let stored = desk.over(reply).await;
    assert_eq!((stored.state.as_str(), stored.reason.as_deref()), ("failed", Some("attempts_exhausted")));
    assert_eq!(desk.stub.total_calls(), 0);
    worker.stop().await;
}
