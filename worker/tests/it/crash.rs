//! The real worker, killed and stopped.

use std::collections::HashSet;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use cairn_testing::processes::{Program, free_port};
use cairn_testing::proxy::Proxy;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::Harness;
use cairn_testing::eventually;

/// How long a process may take to start, reach its failpoint, or drain.
const PROCESS_TIMEOUT: Duration = Duration::from_secs(40);

fn worker(harness: &Harness, logs: &TempDir) -> Program {
    worker_on(harness, logs, free_port().unwrap())
}

fn worker_on(harness: &Harness, logs: &TempDir, ops_port: u16) -> Program {
    worker_at(harness.url(), logs, ops_port)
}

fn worker_at(url: String, logs: &TempDir, ops_port: u16) -> Program {
    let environment = vec![
        ("DATABASE_URL", url),
        ("CAIRN_OPS_ADDR", format!("127.0.0.1:{ops_port}")),
        ("CAIRN_LOG", "warn".to_owned()),
    ];
    Program::new("cairn-worker", environment, logs.path().join("worker.log"))
}

/// Each start claims the job, dies of it, and leaves it to the next start, until its attempts are used up. The jobs that
/// ran beside it are done.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_kills_its_process_stops_at_its_attempt_limit() {
    let harness = Harness::new().await;
    let logs = TempDir::new().unwrap();
    let program = worker(&harness, &logs);
    harness
        .insert_raw(
            "likes",
            br#"{"kind":"count_likes","v":1,"data":{"project_id":"00000000-0000-7000-8000-000000000002"}}"#,
        )
        .await;
    sqlx::query("UPDATE apalis.jobs SET max_attempts = 3").execute(harness.pool()).await.unwrap();
    harness.enqueue_events(50).await;
    for attempt in 1..=3 {
        let mut process = program.start(Some("count_likes")).unwrap();
        let status = process.ended(PROCESS_TIMEOUT).await.unwrap();
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "start {attempt}");
        assert_eq!(harness.count("likes", "Running").await, 1, "start {attempt} died of the job");
        // Instead of waiting for the heartbeat timeout and the backoff.
        sqlx::raw_sql(
            "UPDATE apalis.workers SET last_seen = now() - interval '1 hour';
             UPDATE apalis.jobs SET run_at = now() WHERE status = 'Failed'",
        )
        .execute(harness.pool())
        .await
        .unwrap();
    }
    let process = program.start(Some("count_likes")).unwrap();
    eventually("the job is dead", async || harness.count("likes", "Killed").await == 1).await;
    eventually("the other jobs are done", async || harness.count("activity", "Done").await == 50).await;
    assert_eq!(harness.logged().await, 50);
    let attempts: i32 = sqlx::query_scalar("SELECT attempts FROM apalis.jobs WHERE job_type = 'likes'")
        .fetch_one(harness.pool())
        .await
        .unwrap();
    assert_eq!(attempts, 3);
    drop(process);
}

/// A worker that is started again at once with the same configuration.
#[tokio::test(flavor = "multi_thread")]
async fn worker_names_are_never_reused() {
    let harness = Harness::new().await;
    let logs = TempDir::new().unwrap();
    let program = worker(&harness, &logs);
    let names = async || -> HashSet<String> {
        sqlx::query_scalar("SELECT id FROM apalis.workers")
            .fetch_all(harness.pool())
            .await
            .unwrap()
            .into_iter()
            .collect()
    };
    let mut known = HashSet::new();
    for start in 1..=3 {
        let process = program.start(None).unwrap();
        eventually("all its queues are registered", async || names().await.len() == 6 * start).await;
        let now = names().await;
        assert!(now.is_superset(&known));
        known = now;
        drop(process);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_the_worker_at_once() {
    let harness = Harness::new().await;
    let logs = TempDir::new().unwrap();
    harness.liked_projects(1).await;
    let held = harness.hold_likes().await;
    let ops_port = free_port().unwrap();
    let mut process = worker_on(&harness, &logs, ops_port).start(None).unwrap();
    eventually("the job waits for the lock", async || harness.is_lock_awaited().await).await;
    process.signal(Signal::TERM).unwrap();
    // Two signals in quick succession would be merged.
    let _ = rustls::crypto::ring::default_provider().install_default();
    eventually("the worker is stopping", async || {
        let Ok(answer) = reqwest::get(format!("http://127.0.0.1:{ops_port}/health/ready")).await else { return false };
        answer.text().await.is_ok_and(|text| text.contains("stopping"))
    })
    .await;
    assert!(process.is_running().unwrap(), "the worker is draining");
    process.signal(Signal::TERM).unwrap();
    assert_eq!(process.ended(PROCESS_TIMEOUT).await.unwrap().code(), Some(130));
    drop(held);
}

/// The database is frozen, a job waits for it, and others have ended whose outcomes cannot be stored.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_told_to_stop_ends_in_time_whatever_hangs() {
    let harness = Harness::new().await;
    let proxy = Proxy::start(&harness.url()).await;
    let logs = TempDir::new().unwrap();
    harness.liked_projects(4).await;
    let held = harness.hold_likes().await;
    let mut process = worker_at(proxy.url().to_owned(), &logs, free_port().unwrap()).start(None).unwrap();
    eventually("jobs wait for the lock", async || harness.is_lock_awaited().await).await;
    harness.enqueue_events(500).await;
    eventually("others are under way", async || harness.logged().await > 0).await;
    proxy.silence_all();
    process.signal(Signal::TERM).unwrap();
    process.ended(cairn_worker::STOP_LIMIT + Duration::from_secs(5)).await.expect("it ends in time");
    drop(held);
}
