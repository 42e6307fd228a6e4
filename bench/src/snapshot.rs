//! Measures what an old snapshot costs the queue: the same load, first without one, then while one transaction holds one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use cairn_core::activity::{Action, Verb};
use cairn_core::clock::new_id;
use cairn_core::db::Purpose;
use cairn_core::noun::Noun;
use cairn_core::queue::Queue;
use cairn_core::queue::claim::{self, Position};
use cairn_core::queue::lease::{self, Outcome};
use serde_json::json;
use sqlx::{Connection, PgConnection};

use crate::database::BenchDatabase;
use crate::measured::Measured;
use crate::worker::Worker;

/// Transactions per second, and the jobs that each enqueues.
const RATE: u32 = 40;
const JOBS: u32 = 20;

/// How long the load runs without a snapshot.
const QUIET: Duration = Duration::from_secs(30);

/// What was measured in one phase, in milliseconds.
struct Phase {
    claim_p50: f64,
    claim_p99: f64,
    start_p50: f64,
    start_p99: f64,
    jobs: i64,
    late_seconds: f64,
}

pub(crate) async fn run(database: &BenchDatabase, minutes: f64) -> anyhow::Result<Vec<Measured>> {
    let worker = Worker::start(database);
    tokio::time::sleep(Duration::from_secs(1)).await;
    phase(database, Duration::from_secs(3)).await?; // Connections, plans, caches.
    let quiet = phase(database, QUIET).await?;

    let options = database.db.pool().connect_options();
    let mut reader = PgConnection::connect_with(&options).await?;
    sqlx::raw_sql("SET idle_in_transaction_session_timeout = 0; BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM users")
        .execute(&mut reader)
        .await?;
    let held = Duration::from_secs_f64(minutes * 60.0);
    let under = phase(database, held).await?;
    sqlx::raw_sql("COMMIT").execute(&mut reader).await?;
    worker.stop().await?;

    let ratio = under.claim_p99 / quiet.claim_p99;
    let claims = |phase: &Phase| format!("p50 {:.1}, p99 {:.1} ms", phase.claim_p50, phase.claim_p99);
    let starts = |phase: &Phase| format!("p50 {:.1}, p99 {:.1} ms", phase.start_p50, phase.start_p99);
    let all = |phase: &Phase| {
        json!({
            "claim_p50_ms": phase.claim_p50, "claim_p99_ms": phase.claim_p99, "start_p50_ms": phase.start_p50,
            "start_p99_ms": phase.start_p99, "jobs": phase.jobs, "late_seconds": phase.late_seconds,
        })
    };
    Ok(vec![
        Measured::new("claim at 800 jobs/s, quiet", claims(&quiet), "", all(&quiet)),
        Measured::new(format!("claim, snapshot of {minutes} min"), claims(&under), "p99 <= 2 x quiet", all(&under)),
        Measured::new("claim p99, snapshot / quiet", format!("{ratio:.2}"), "<= 2", json!(ratio)),
        Measured::new("job start at 800 jobs/s, quiet", starts(&quiet), "", json!(quiet.start_p99)),
        Measured::new("job start, with the snapshot", starts(&under), "p99 <= 20 ms", json!(under.start_p99)),
        Measured::new(
            "a late job is found, slowest",
            format!("{:.1} s", under.late_seconds.max(quiet.late_seconds)),
            "<= 5 s",
            json!(under.late_seconds),
        ),
    ])
}

/// Enqueues events at a steady rate, while a second worker claims beside the one that does most of them, and now and then a job
/// appears that has been due for long.
async fn phase(database: &BenchDatabase, length: Duration) -> anyhow::Result<Phase> {
    let since: chrono::DateTime<chrono::Utc> =
        sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(database.db.pool()).await?;
    let ended = Arc::new(AtomicBool::new(false));
    // Connections of their own, which do not wait for those of the load.
    let leases = database.db.share(1).for_purpose(Purpose::Leases).pool().connect_options();
    let prober = tokio::spawn(probe(PgConnection::connect_with(&leases).await?, ended.clone()));
    let options = database.db.pool().connect_options();
    let late = tokio::spawn(appear_late(PgConnection::connect_with(&options).await?, ended.clone()));
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / RATE);
    let end = Instant::now() + length;
    while Instant::now() < end {
        ticks.tick().await;
        let db = database.db.clone();
        tokio::spawn(async move {
            let mut tx = db.begin().await?;
            for _ in 0..JOBS {
                tx.record(Action::new(Noun::Lesson, Verb::Completed))?;
            }
            tx.commit().await
        });
    }
    ended.store(true, Ordering::Relaxed);
    let mut claims = prober.await??;
    let late_seconds = late.await??;
    claims.sort_by(f64::total_cmp);
    let (start_p50, start_p99, jobs) = sqlx::query_as(
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY ms), percentile_cont(0.99) WITHIN GROUP (ORDER BY ms), count(*)
         FROM (SELECT extract(epoch FROM lock_at - run_at)::float8 * 1000 AS ms FROM apalis.jobs
               WHERE job_type = 'activity' AND run_at > $1 AND lock_at IS NOT NULL) l",
    )
    .bind(since)
    .fetch_one(database.db.pool())
    .await?;
    let at = |part: usize| claims.get(claims.len() * part / 100).copied().unwrap_or_default();
    Ok(Phase { claim_p50: at(50), claim_p99: at(99), start_p50, start_p99, jobs, late_seconds })
}

/// Claims a few jobs every 10 ms, as one more worker would, and ends them. Returns how long each claim took, in milliseconds.
async fn probe(mut connection: PgConnection, ended: Arc<AtomicBool>) -> anyhow::Result<Vec<f64>> {
    let worker = format!("probe-{}", new_id());
    let (mut position, mut times, mut beat) = (Position::default(), Vec::new(), None::<Instant>);
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    while !ended.load(Ordering::Relaxed) {
        ticks.tick().await;
        if beat.is_none_or(|at| at.elapsed() > Duration::from_secs(3)) {
            lease::heartbeat(&mut connection, &[(worker.clone(), Queue::Activity)]).await?;
            beat = Some(Instant::now());
        }
        let begun = Instant::now();
        let claimed = claim::claim_from(&mut connection, Queue::Activity, &worker, 4, position, &[]).await?;
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
        position = claimed.next;
        let finished: Vec<_> = claimed.leases.iter().map(|lease| lease.finished(Outcome::Done)).collect();
        lease::finish(&mut connection, &worker, &finished).await?;
    }
    lease::deregister(&mut connection, &[(worker, Queue::Activity)]).await?;
    Ok(times)
}

/// Inserts a job that has been due for an hour every few seconds. Returns the longest time until one was claimed, in seconds.
async fn appear_late(mut connection: PgConnection, ended: Arc<AtomicBool>) -> anyhow::Result<f64> {
    let nobody = new_id();
    let mut slowest = 0.0_f64;
    while !ended.load(Ordering::Relaxed) {
        let id = new_id().to_string();
        let payload =
            format!(r#"{{"kind":"roll_up_progress","v":1,"data":{{"user_id":"{nobody}","roadmap_id":"{nobody}"}}}}"#);
        sqlx::query(
            "INSERT INTO apalis.jobs (id, job_type, job, run_at, priority)
             VALUES ($1, 'activity', $2, now() - interval '1 hour', 0)",
        )
        .bind(&id)
        .bind(payload.into_bytes())
        .execute(&mut connection)
        .await?;
        let begun = Instant::now();
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let waits: bool = sqlx::query_scalar("SELECT status = 'Pending' FROM apalis.jobs WHERE id = $1")
                .bind(&id)
                .fetch_one(&mut connection)
                .await?;
            if !waits {
                break;
            }
        }
        slowest = slowest.max(begun.elapsed().as_secs_f64());
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    Ok(slowest)
}
