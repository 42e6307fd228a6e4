//! Lost workers, lost connections, a lost database.

use cairn_core::db::{connect_options, migrate};
use cairn_postgres::Durability;
use cairn_postgres::testing::throw_away_server;
use sqlx::{Connection, PgConnection};

use crate::support::{Bench, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_a_lost_worker_are_done_by_another_and_poison_stops_at_its_cap() {
    let bench = Bench::new().await;
    bench.enqueue_events(4).await;
    // A worker took three and was killed; one of them had its last attempt.
    sqlx::raw_sql(
        "INSERT INTO apalis.workers (id, worker_type, storage_name, last_seen) VALUES ('gone', 'activity', 'cairn', now() - interval '1 hour');
         UPDATE apalis.jobs SET status = 'Running', lock_by = 'gone', attempts = 1
         WHERE id IN (SELECT id FROM apalis.jobs WHERE job_type = 'activity' ORDER BY id LIMIT 3);
         UPDATE apalis.jobs SET attempts = max_attempts WHERE id = (SELECT min(id) FROM apalis.jobs WHERE lock_by = 'gone')",
    )
    .execute(bench.pool())
    .await
    .unwrap();
    let worker = bench.start();
    eventually("three are done", async || bench.count("activity", "Done").await == 3).await;
    assert_eq!(bench.count("activity", "Killed").await, 1);
    assert_eq!(bench.logged().await, 3);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_share_a_queue_and_do_each_job_once() {
    let bench = Bench::new().await;
    let (one, two) = (bench.start(), bench.start());
    for _ in 0..20 {
        bench.enqueue_events(100).await;
    }
    eventually("2000 jobs are done", async || bench.count("activity", "Done").await == 2000).await;
    let started: i64 = sqlx::query_scalar("SELECT sum(attempts) FROM apalis.jobs WHERE job_type = 'activity'")
        .fetch_one(bench.pool())
        .await
        .unwrap();
    assert_eq!((started, bench.logged().await), (2000, 2000));
    one.stop().await;
    two.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_connections_lose_and_repeat_nothing() {
    let bench = Bench::new().await;
    let worker = bench.start();
    let mut ids = Vec::new();
    for _ in 0..10 {
        ids.extend(bench.enqueue_events(150).await);
        // Every connection to this database but the one that says so, those of the worker included.
        let mut apart = PgConnection::connect(bench.config.require_database_url().unwrap().expose()).await.unwrap();
        sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
            .fetch_all(&mut apart)
            .await
            .unwrap();
    }
    eventually("all events are logged", async || logged_quietly(&bench).await == Some(1500)).await;
    eventually("no job is left", async || {
        sqlx::query_scalar::<_, i64>(
            "SELECT count(*) FROM apalis.jobs WHERE job_type = 'activity' AND status <> 'Done'",
        )
        .fetch_one(bench.pool())
        .await
        .is_ok_and(|left| left == 0)
    })
    .await;
    assert_eq!(bench.logged().await, 1500);
    worker.stop().await;
}

/// As when the database is slow with what the worker writes: what it holds is bounded, and all of it counts once.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_cannot_store_how_jobs_ended_claims_no_more() {
    let bench = Bench::new().await;
    let mut lock = bench.pool().begin().await.unwrap();
    sqlx::query("LOCK TABLE job_counts").execute(&mut *lock).await.unwrap();
    bench.enqueue_events(3000).await;
    let worker = bench.start();
    // The places of the queue, and a group of ends.
    let most = 256 + 500;
    eventually("many are done", async || bench.logged().await >= 500).await;
    for _ in 0..20 {
        let held = bench.count("activity", "Running").await;
        assert!(held <= most, "{held} jobs are held");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    lock.rollback().await.unwrap();
    eventually("all are done", async || bench.count("activity", "Done").await == 3000).await;
    assert_eq!(bench.logged().await, 3000);
    worker.stop().await;
}

/// Only the connection that hears the bell.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_listener_is_replaced_and_costs_no_job() {
    let bench = Bench::new().await;
    let (worker, ops) = bench.serve().await;
    let listening = async || -> Option<i32> {
        sqlx::query_scalar(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'",
        )
        .fetch_optional(bench.pool())
        .await
        .unwrap()
    };
    eventually("somebody listens", async || listening().await.is_some()).await;
    for round in 1..=3 {
        let lost = listening().await.unwrap();
        sqlx::query("SELECT pg_terminate_backend($1)").bind(lost).execute(bench.pool()).await.unwrap();
        bench.enqueue_events(10).await;
        eventually("the jobs are done", async || bench.count("activity", "Done").await == 10 * round).await;
        eventually("somebody else listens", async || listening().await.is_some_and(|pid| pid != lost)).await;
    }
    eventually("the metrics say so", async || ops.metric("cairn_worker_listener_up").await == Some(1.0)).await;
    assert_eq!(bench.logged().await, 30);
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_immediate_restart_of_postgres_loses_and_repeats_nothing() {
    let mut server = throw_away_server(Durability::Full, &[]).await.unwrap();
    server.create_database_if_missing("cairn").await.unwrap();
    let url = server.url("cairn");
    migrate(&connect_options(&url).unwrap()).await.unwrap();
    let bench = Bench::on(&url);
    let worker = bench.start();
    bench.enqueue_events(2000).await;
    server.restart_immediate().await.unwrap();
    eventually("all events are logged", async || logged_quietly(&bench).await == Some(2000)).await;
    eventually("new work is done too", async || bench.db.begin().await.is_ok()).await;
    bench.enqueue_events(10).await;
    eventually("new work is done too", async || logged_quietly(&bench).await == Some(2010)).await;
    worker.stop().await;
    server.stop().await.unwrap();
}

async fn logged_quietly(bench: &Bench) -> Option<i64> {
    sqlx::query_scalar("SELECT count(*) FROM activity_log").fetch_one(bench.pool()).await.ok()
}
