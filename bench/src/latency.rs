//! Measures how soon a job starts.

use std::time::Duration;

use cairn_core::activity::{Action, Noun, Verb};
use serde_json::json;

use crate::BenchDatabase;
use crate::measured::Measured;
use crate::worker::Worker;

/// Jobs per second.
const RATE: u32 = 200;

/// Duration in seconds.
const SECONDS: u32 = 10;

/// Enqueues events at a steady rate, independently of the worker, and measures the time from the insert to the claim by the
/// database's clock.
pub(crate) async fn run(database: &BenchDatabase) -> anyhow::Result<Vec<Measured>> {
    let worker = Worker::start(database);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / RATE);
    for _ in 0..RATE * SECONDS {
        ticks.tick().await;
        let db = database.db.clone();
        tokio::spawn(async move {
            let mut tx = db.begin().await?;
            tx.record(Action::new(Noun::Lesson, Verb::Completed))?;
            tx.commit().await
        });
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    worker.stop().await?;
    let (p50, p99): (f64, f64) = sqlx::query_as(
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY ms), percentile_cont(0.99) WITHIN GROUP (ORDER BY ms)
         FROM (SELECT extract(epoch FROM lock_at - run_at)::float8 * 1000 AS ms FROM apalis.jobs WHERE job_type = 'activity') l",
    )
    .fetch_one(database.db.pool())
    .await?;
    Ok(vec![Measured::new(
        "job start latency at 200 jobs/s",
        format!("p50 {p50:.1}, p99 {p99:.1} ms"),
        "p50 <= 5, p99 <= 20 ms",
        json!({ "p50_ms": p50, "p99_ms": p99 }),
    )])
}
