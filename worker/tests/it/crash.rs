//! The real binaries, killed, stopped and cut off in every way that we know.

use std::collections::HashSet;
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use cairn_chaos::processes::{Program, free_port};
use cairn_chaos::{Blow, Blows, Plan, run};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::{Bench, eventually};

/// For a process to start, come by its failpoint, or drain.
const PATIENCE: Duration = Duration::from_secs(40);

fn worker(bench: &Bench, logs: &TempDir) -> Program {
    worker_on(bench, logs, free_port().unwrap())
}

fn worker_on(bench: &Bench, logs: &TempDir, ops_port: u16) -> Program {
    let environment = vec![
        ("DATABASE_URL", bench.url()),
        ("CAIRN_OPS_ADDR", format!("127.0.0.1:{ops_port}")),
        ("CAIRN_LOG", "warn".to_owned()),
    ];
    Program::new("cairn-worker", environment, logs.path().join("worker.log"))
}

#[tokio::test(flavor = "multi_thread")]
async fn no_blow_loses_or_repeats_anything() {
    let report = run(Plan::each_once(), |_| {}).await.unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.blows.len(), Blow::ALL.len(), "{report}");
    assert!(report.accepted > 500, "no load: {report}");
    assert!(report.slowest_recovery() < Duration::from_mins(1), "{report}");
}

/// Every worker is stopped and started anew several times while learners act: each drains and exits with 0 (the harness
/// checks it), and no job is run twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_under_load_loses_and_repeats_nothing() {
    let plan = Plan { learners: 10, pause: Duration::from_millis(300), blows: Blows::Each(vec![Blow::StopWorker; 12]) };
    let report = run(plan, |_| {}).await.unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.repeated_runs, 0, "{report}");
    assert!(report.accepted > 200, "no load: {report}");
}

/// Each start takes the job, dies of it, and leaves it to the next, until its attempts are used up. What ran beside it
/// is done.
#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_kills_its_process_stops_at_its_cap() {
    let bench = Bench::new().await;
    let logs = TempDir::new().unwrap();
    let program = worker(&bench, &logs);
    bench
        .insert_raw(
            "likes",
            br#"{"kind":"count_likes","v":1,"data":{"project_id":"00000000-0000-7000-8000-000000000002"}}"#,
        )
        .await;
    sqlx::query("UPDATE apalis.jobs SET max_attempts = 3").execute(bench.pool()).await.unwrap();
    bench.enqueue_events(50).await;
    for attempt in 1..=3 {
        let mut process = program.start(Some("count_likes")).unwrap();
        let status = process.ended(PATIENCE).await.unwrap();
        assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "start {attempt}");
        assert_eq!(bench.count("likes", "Running").await, 1, "start {attempt} has died of it");
        // Instead of waiting for the silence and the backoff.
        sqlx::raw_sql(
            "UPDATE apalis.workers SET last_seen = now() - interval '1 hour';
             UPDATE apalis.jobs SET run_at = now() WHERE status = 'Failed'",
        )
        .execute(bench.pool())
        .await
        .unwrap();
    }
    let process = program.start(Some("count_likes")).unwrap();
    eventually("it is dead", async || bench.count("likes", "Killed").await == 1).await;
    eventually("the others are done", async || bench.count("activity", "Done").await == 50).await;
    assert_eq!(bench.logged().await, 50);
    let attempts: i32 = sqlx::query_scalar("SELECT attempts FROM apalis.jobs WHERE job_type = 'likes'")
        .fetch_one(bench.pool())
        .await
        .unwrap();
    assert_eq!(attempts, 3);
    drop(process);
}

/// Started again at once, with the same configuration, beside jobs that its predecessor held.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_never_has_the_name_of_an_earlier_one() {
    let bench = Bench::new().await;
    let logs = TempDir::new().unwrap();
    let program = worker(&bench, &logs);
    let names = async || -> HashSet<String> {
        sqlx::query_scalar("SELECT id FROM apalis.workers").fetch_all(bench.pool()).await.unwrap().into_iter().collect()
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
    let bench = Bench::new().await;
    let logs = TempDir::new().unwrap();
    let [project] = bench.liked_projects(1).await[..] else { unreachable!() };
    let held = bench.hold_likes(&[project]).await;
    let ops_port = free_port().unwrap();
    let mut process = worker_on(&bench, &logs, ops_port).start(None).unwrap();
    let waits = async || bench.count("likes", "Running").await == 1 && bench.is_waited_for().await;
    eventually("the job waits for what is held", waits).await;
    process.signal(Signal::TERM).unwrap();
    // Signals that come at once are one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    eventually("it is stopping", async || {
        let Ok(answer) = reqwest::get(format!("http://127.0.0.1:{ops_port}/health/ready")).await else { return false };
        answer.text().await.is_ok_and(|text| text.contains("stopping"))
    })
    .await;
    assert!(process.is_running().unwrap(), "it drains");
    process.signal(Signal::TERM).unwrap();
    assert_eq!(process.ended(PATIENCE).await.unwrap().code(), Some(130));
    drop(held);
}
