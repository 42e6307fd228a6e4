//! Text is stored and readers are notified while it is generated, and it can be stopped.

use std::time::Duration;

use cairn_core::queue::lease;
use cairn_core::queue::{Queue, READERS_CHANNEL, claim};
use cairn_core::tools::attempts;
use sqlx::postgres::PgListener;
use uuid::Uuid;

use super::{ReplyHarness, answer};
use crate::support::Harness;
use cairn_testing::eventually;

async fn chunks(harness: &Harness, reply: Uuid) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM ai_reply_chunks WHERE reply_id = $1")
        .bind(reply)
        .fetch_one(harness.pool())
        .await
        .unwrap()
}

async fn cancel(fixture: &ReplyHarness, reply: Uuid) {
    let cancelled = sqlx::query(
        "UPDATE ai_replies SET state = 'cancelled', reason = 'cancelled', finished_at = now()
         WHERE id = $1 AND state IN ('queued', 'streaming')",
    );
    cancelled.bind(reply).execute(fixture.harness.pool()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn text_is_stored_in_order_and_notifications_contain_only_ids() {
    let fixture = ReplyHarness::new().await;
    let mut listener = PgListener::connect_with(fixture.harness.pool()).await.unwrap();
    listener.listen(READERS_CHANNEL).await.unwrap();
    let worker = fixture.harness.start();
    let script = "words=60,gap=20";
    let reply = fixture.ask(&format!("stub:{script} Hello?")).await;
    let stored = fixture.completed(reply).await;
    assert_eq!(stored.text, answer(script));
    let pieces: Vec<(i32, i32)> = sqlx::query_as("SELECT attempt, seq FROM ai_reply_chunks ORDER BY attempt, seq")
        .fetch_all(fixture.harness.pool())
        .await
        .unwrap();
    assert_eq!(pieces, (1..).map(|seq| (1, seq)).take(pieces.len()).collect::<Vec<_>>());
    assert!(pieces.len() > 1, "it was stored while it was generated");
    worker.stop().await;
    let learner: Uuid =
        sqlx::query_scalar("SELECT user_id FROM ai_replies").fetch_one(fixture.harness.pool()).await.unwrap();
    let mut about_the_reply = 0;
    while about_the_reply < 2 {
        let notification = tokio::time::timeout(Duration::from_mins(1), listener.recv()).await.unwrap().unwrap();
        let ids: Vec<Uuid> = notification.payload().split(',').map(|id| id.parse().unwrap()).collect();
        // The learner has events of the reply besides.
        assert!(ids.iter().all(|id| [reply, learner].contains(id)), "{ids:?}");
        about_the_reply += usize::from(ids.contains(&reply));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_built_in_provider_streams_as_well() {
    let harness = Harness::new().await;
    let fixture = ReplyHarness { harness, stub: cairn_stub_provider::Stub::start().await.unwrap() };
    let worker = fixture.harness.start();
    let reply = fixture.ask("How do I start?").await;
    let stored = fixture.completed(reply).await;
    assert!(stored.text.starts_with("This is the built-in library provider"), "{}", stored.text);
    assert!(chunks(&fixture.harness, reply).await > 1);
    assert_eq!(fixture.stub.total_calls(), 0);
    let provider: String =
        sqlx::query_scalar("SELECT provider FROM ai_reply_attempts").fetch_one(fixture.harness.pool()).await.unwrap();
    assert_eq!(provider, "library");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_reply_is_abandoned_and_keeps_its_text() {
    let fixture = ReplyHarness::new().await;
    let worker = fixture.harness.start();
    // The provider is sending text, has fallen silent, or has not started yet.
    for (n, script) in ["words=100000,gap=5", "fault=stall", "fault=stall,at=0"].into_iter().enumerate() {
        let reply = fixture.ask(&format!("stub:{script} Hello?")).await;
        if script.ends_with("at=0") {
            eventually("the provider is called", async || fixture.stub.open() == 1).await;
        } else {
            eventually("there is text", async || chunks(&fixture.harness, reply).await > 0).await;
        }
        cancel(&fixture, reply).await;
        let kept = fixture.stored(reply).await.text;
        eventually("the provider is disconnected", async || fixture.stub.hung_up() == n + 1).await;
        eventually("the attempt has ended", async || {
            fixture.stored(reply).await.ends == [Some("cancelled".to_owned())]
        })
        .await;
        let stored = fixture.stored(reply).await;
        assert_eq!((stored.state.as_str(), stored.text), ("cancelled", kept), "nothing is written afterwards");
        assert_eq!(stored.answer, None);
    }
    eventually("the jobs are done", async || fixture.harness.count("replies", "Done").await == 3).await;
    // A reply that was cancelled while it was queued is not attempted.
    worker.stop().await;
    let reply = fixture.ask("stub:words=3 Hello?").await;
    cancel(&fixture, reply).await;
    let worker = fixture.harness.start();
    eventually("the job is done", async || fixture.harness.count("replies", "Done").await == 4).await;
    assert_eq!((fixture.stored(reply).await.attempt, fixture.stub.calls("words=3")), (0, 0));
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clearing_a_chat_ends_its_reply_without_an_error() {
    let fixture = ReplyHarness::new().await;
    let worker = fixture.harness.start();
    let reply = fixture.ask("stub:words=100000,gap=5 Hello?").await;
    eventually("there is text", async || chunks(&fixture.harness, reply).await > 0).await;
    sqlx::query("DELETE FROM tool_chats").execute(fixture.harness.pool()).await.unwrap();
    eventually("the provider is disconnected", async || fixture.stub.hung_up() == 1).await;
    eventually("the job is done", async || fixture.harness.count("replies", "Done").await == 1).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_never_generate_the_same_reply() {
    let fixture = ReplyHarness::new().await;
    let (one, two) = (fixture.harness.start(), fixture.harness.start());
    let script = "words=20,gap=5";
    let mut replies = Vec::new();
    for _ in 0..40 {
        replies.push(fixture.ask(&format!("stub:{script} Hello?")).await);
    }
    for reply in replies {
        let stored = fixture.completed(reply).await;
        assert_eq!((stored.text, stored.attempt), (answer(script), 1));
    }
    assert_eq!(fixture.stub.total_calls(), 40);
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_worker_hands_over_its_reply() {
    let mut fixture = ReplyHarness::new().await;
    fixture.ai().limits.at_stop = Duration::ZERO;
    let first = fixture.harness.start();
    let script = "words=100,gap=50";
    let reply = fixture.ask(&format!("stub:{script} Hello?")).await;
    eventually("there is text", async || chunks(&fixture.harness, reply).await > 0).await;
    first.stop().await;
    let stored = fixture.stored(reply).await;
    assert_eq!((stored.state.as_str(), stored.attempt), ("queued", 1));
    assert_eq!(stored.ends, [Some("interrupted".to_owned())]);
    assert!(answer(script).starts_with(&stored.text) && !stored.text.is_empty());
    let due: bool = sqlx::query_scalar("SELECT run_at <= now() FROM apalis.jobs WHERE job_type = 'replies'")
        .fetch_one(fixture.harness.pool())
        .await
        .unwrap();
    assert!(due, "another worker can claim it at once");
    let second = fixture.harness.start();
    let stored = fixture.completed(reply).await;
    assert_eq!((stored.text, stored.attempt, fixture.stub.calls(script)), (answer(script), 2, 2));
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_worker_finishes_a_reply_that_is_nearly_complete() {
    let fixture = ReplyHarness::new().await;
    let worker = fixture.harness.start();
    let script = "words=30,gap=50";
    let reply = fixture.ask(&format!("stub:{script} Hello?")).await;
    eventually("there is text", async || chunks(&fixture.harness, reply).await > 0).await;
    worker.stop().await;
    let stored = fixture.stored(reply).await;
    assert_eq!((stored.state.as_str(), stored.attempt), ("completed", 1), "{stored:?}");
    assert_eq!(stored.answer, Some(answer(script)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reply_of_a_lost_worker_is_generated_by_another() {
    let fixture = ReplyHarness::new().await;
    let script = "words=10";
    let reply = fixture.ask(&format!("stub:{script} Hello?")).await;
    // A worker started it, stored half of it, and was killed.
    sqlx::raw_sql(
        "INSERT INTO apalis.workers (id, worker_type, storage_name, last_seen) VALUES ('gone', 'replies', 'cairn', now() - interval '1 hour');
         UPDATE apalis.jobs SET status = 'Running', lock_by = 'gone', attempts = 1 WHERE job_type = 'replies';
         UPDATE ai_replies SET state = 'streaming', attempt = 1, started_at = now();
         INSERT INTO ai_reply_attempts (reply_id, attempt) SELECT id, 1 FROM ai_replies;
         INSERT INTO ai_reply_chunks (reply_id, attempt, seq, content) SELECT id, 1, 1, 'half' FROM ai_replies",
    )
    .execute(fixture.harness.pool())
    .await
    .unwrap();
    let worker = fixture.harness.start();
    let stored = fixture.completed(reply).await;
    assert_eq!((stored.text, stored.attempt, fixture.stub.calls(script)), (answer(script), 2, 1));
    assert_eq!(stored.ends, [Some("superseded".to_owned()), None]);
    worker.stop().await;
}

/// As after a worker was suspended: others have taken its job, and it claims the job again before its first run notices.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_claims_its_own_rescued_reply_asks_once_more_and_not_again() {
    let fixture = ReplyHarness::new().await;
    let worker = fixture.harness.start();
    let script = "words=40,gap=50";
    let reply = fixture.ask(&format!("stub:{script} Hello?")).await;
    eventually("there is text", async || chunks(&fixture.harness, reply).await > 0).await;
    let mut tx = fixture.harness.pool().begin().await.unwrap();
    sqlx::raw_sql("UPDATE apalis.workers SET last_seen = to_timestamp(0)").execute(&mut *tx).await.unwrap();
    assert!(lease::rescue(&mut tx, Duration::from_secs(15)).await.unwrap() > 0);
    sqlx::raw_sql(
        "UPDATE apalis.workers SET last_seen = now(); UPDATE apalis.jobs SET run_at = now() WHERE status = 'Failed'",
    )
    .execute(&mut *tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();
    let stored = fixture.completed(reply).await;
    assert_eq!((stored.text, stored.attempt, fixture.stub.calls(script)), (answer(script), 2, 2));
    assert_eq!(stored.ends, [Some("superseded".to_owned()), None]);
    eventually("the job is done", async || fixture.harness.count("replies", "Done").await == 1).await;
    worker.stop().await;
}

#[tokio::test]
async fn a_run_that_has_lost_its_lease_begins_no_attempt() {
    let fixture = ReplyHarness::new().await;
    let reply = fixture.ask("stub:words=3 Hello?").await;
    let mut connection = fixture.harness.pool().acquire().await.unwrap();
    let c = &mut *connection;
    lease::heartbeat(c, &[("w".to_owned(), Queue::Replies)]).await.unwrap();
    let lost = claim::claim(c, Queue::Replies, "w", 1).await.unwrap().remove(0);
    assert_eq!(lease::release(c, "w", &[lost.key()]).await.unwrap(), 1);
    assert!(attempts::begin(c, reply, "stub", Some(&lost)).await.unwrap().is_none(), "nobody holds it");
    let held = claim::claim(c, Queue::Replies, "w", 1).await.unwrap().remove(0);
    assert!(attempts::begin(c, reply, "stub", Some(&lost)).await.unwrap().is_none(), "the same worker holds it anew");
    let attempt = attempts::begin(c, reply, "stub", Some(&held)).await.unwrap().unwrap();
    assert_eq!(attempt.number, 1);
    assert!(attempts::begin(c, reply, "stub", Some(&lost)).await.unwrap().is_none());
    assert!(attempts::may_write(c, &attempt).await.unwrap(), "it was not superseded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_crashes_its_workers_is_given_up() {
    let fixture = ReplyHarness::new().await;
    let reply = fixture.ask("stub:words=10 Hello?").await;
    sqlx::raw_sql(
        "UPDATE ai_replies SET state = 'streaming', attempt = 5;
         INSERT INTO ai_reply_attempts (reply_id, attempt, reason, finished_at)
         SELECT id, n, 'superseded', now() FROM ai_replies, generate_series(1, 5) n",
    )
    .execute(fixture.harness.pool())
    .await
    .unwrap();
    let worker = fixture.harness.start();
    let stored = fixture.finished(reply).await;
    assert_eq!((stored.state.as_str(), stored.reason.as_deref()), ("failed", Some("attempts_exhausted")));
    assert_eq!(fixture.stub.total_calls(), 0);
    worker.stop().await;
}
