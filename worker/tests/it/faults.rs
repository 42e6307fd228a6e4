//! Lost workers, lost connections, and an unavailable database.

use cairn_postgres::Durability;
use cairn_postgres::testing::throw_away_server;
use sqlx::{Connection, PgConnection};

use crate::support::Harness;
use cairn_testing::database::{end_sessions, set_up_on};
use cairn_testing::eventually;
use cairn_testing::proxy::Proxy;

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_lost_worker_are_done_by_another_up_to_their_attempt_limit() {
    let harness = Harness::new().await;
    harness.enqueue_events(4).await;
    // A worker claimed three jobs and was killed. One of them was at its last attempt.
    sqlx::raw_sql(
        "INSERT INTO apalis.workers (id, worker_type, storage_name, last_seen) VALUES ('gone', 'activity', 'cairn', now() - interval '1 hour');
         UPDATE apalis.jobs SET status = 'Running', lock_by = 'gone', attempts = 1
         WHERE id IN (SELECT id FROM apalis.jobs WHERE job_type = 'activity' ORDER BY id LIMIT 3);
         UPDATE apalis.jobs SET attempts = max_attempts WHERE id = (SELECT min(id) FROM apalis.jobs WHERE lock_by = 'gone')",
    )
    .execute(harness.pool())
    .await
    .unwrap();
    let worker = harness.start();
    eventually("three jobs are done", async || harness.count("activity", "Done").await == 3).await;
    assert_eq!(harness.count("activity", "Killed").await, 1);
    assert_eq!(harness.logged().await, 3);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_share_a_queue_and_run_each_job_once() {
    let harness = Harness::new().await;
    let (one, two) = (harness.start(), harness.start());
    for _ in 0..20 {
        harness.enqueue_events(100).await;
    }
    eventually("2000 jobs are done", async || harness.count("activity", "Done").await == 2000).await;
    let started: i64 = sqlx::query_scalar("SELECT sum(attempts) FROM apalis.jobs WHERE job_type = 'activity'")
        .fetch_one(harness.pool())
        .await
        .unwrap();
    assert_eq!((started, harness.logged().await), (2000, 2000));
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn terminated_connections_lose_and_repeat_nothing() {
    let harness = Harness::new().await;
    let worker = harness.start();
    // As autovacuum's, which may look into this database at any time.
    let _not_the_applications = harness.superuser().await;
    for _ in 0..10 {
        harness.enqueue_events(150).await;
        let mut session = PgConnection::connect(&harness.url()).await.unwrap();
        assert!(end_sessions(&mut session).await > 0);
    }
    eventually("all events are logged", async || try_logged(&harness).await == Some(1500)).await;
    eventually("no job is left", async || {
        sqlx::query_scalar::<_, i64>(
            "SELECT count(*) FROM apalis.jobs WHERE job_type = 'activity' AND status <> 'Done'",
        )
        .fetch_one(harness.pool())
        .await
        .is_ok_and(|left| left == 0)
    })
    .await;
    assert_eq!(harness.logged().await, 1500);
    worker.stop().await;
}

/// As when the database is slow to store outcomes: the number of leased jobs is bounded, and each of them counts once.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_cannot_store_outcomes_stops_claiming() {
    let harness = Harness::new().await;
    let mut lock = harness.pool().begin().await.unwrap();
    sqlx::query("LOCK TABLE job_counts").execute(&mut *lock).await.unwrap();
    harness.enqueue_events(3000).await;
    let worker = harness.start();
    // The concurrency of the queue, and one batch of outcomes.
    let limit = 256 + 500;
    eventually("many events are logged", async || harness.logged().await >= 500).await;
    for _ in 0..20 {
        let leased = harness.count("activity", "Running").await;
        assert!(leased <= limit, "{leased} jobs are leased");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    lock.rollback().await.unwrap();
    eventually("all jobs are done", async || harness.count("activity", "Done").await == 3000).await;
    assert_eq!(harness.logged().await, 3000);
    worker.stop().await;
}

/// Only the connection of the listener is terminated.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_listener_reconnects_and_costs_no_job() {
    let harness = Harness::new().await;
    let (worker, ops) = harness.serve().await;
    let listening = async || -> Option<i32> {
        sqlx::query_scalar(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'",
        )
        .fetch_optional(harness.pool())
        .await
        .unwrap()
    };
    eventually("the listener is connected", async || listening().await.is_some()).await;
    for round in 1..=3 {
        let lost = listening().await.unwrap();
        sqlx::query("SELECT pg_terminate_backend($1)").bind(lost).execute(harness.pool()).await.unwrap();
        harness.enqueue_events(10).await;
        eventually("the jobs are done", async || harness.count("activity", "Done").await == 10 * round).await;
        eventually("the listener is connected again", async || listening().await.is_some_and(|pid| pid != lost)).await;
    }
    eventually("the metrics show it", async || ops.metric("cairn_worker_listener_up").await == Some(1.0)).await;
    assert_eq!(harness.logged().await, 30);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_immediate_restart_of_postgres_loses_and_repeats_nothing() {
    let mut server = throw_away_server(Durability::Full, &[]).await.unwrap();
    let url = set_up_on(&server, "cairn").await.unwrap();
    let harness = Harness::on(&url);
    let worker = harness.start();
    harness.enqueue_events(2000).await;
    server.restart_immediate().await.unwrap();
    eventually("all events are logged", async || try_logged(&harness).await == Some(2000)).await;
    eventually("the database answers", async || harness.db.begin().await.is_ok()).await;
    harness.enqueue_events(10).await;
    eventually("new events are logged", async || try_logged(&harness).await == Some(2010)).await;
    worker.stop().await;
    server.stop().await.unwrap();
}

async fn try_logged(harness: &Harness) -> Option<i64> {
    sqlx::query_scalar("SELECT count(*) FROM activity_log").fetch_one(harness.pool()).await.ok()
}

/// The network forgets the worker's connections: those of jobs, of leases and of the listener, whatever they are doing.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_connections_go_silent_goes_on() {
    let harness = Harness::new().await;
    let proxy = Proxy::start(&harness.url()).await;
    let behind = Harness::on(proxy.url());
    let (worker, ops) = behind.serve().await;
    let mut enqueued = 0;
    for round in 0..3 {
        for _ in 0..5 {
            harness.enqueue_events(100).await;
            enqueued += 100;
            tokio::task::yield_now().await;
        }
        eventually("work is under way", async || harness.logged().await > enqueued - 500).await;
        match round {
            0 => proxy.silence_existing(),
            1 => proxy.reset_existing(),
            _ => {
                // A server that is frozen for long enough that everything has reached its limit.
                proxy.silence_all();
                harness.enqueue_events(100).await;
                enqueued += 100;
                eventually("the listener is lost", async || ops.readiness().await.2 == "down").await;
                proxy.restore();
            }
        }
        harness.enqueue_events(100).await;
        enqueued += 100;
        eventually("all jobs are done", async || harness.count("activity", "Done").await == enqueued).await;
        assert_eq!(harness.logged().await, enqueued);
        eventually("it is ready and listens", async || {
            let (status, _, listener) = ops.readiness().await;
            status == 200 && listener == "up"
        })
        .await;
    }
    worker.stop().await;
}
