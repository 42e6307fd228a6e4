//! How soon a job starts.

use std::time::Duration;

use cairn_core::activity::{Action, Noun, Verb};
use serde_json::json;

use crate::Place;
use crate::measured::Measured;
use crate::worker::Worker;

/// Jobs a second, and seconds.
const RATE: u32 = 200;
const SECONDS: u32 = 10;

/// Events at a steady rate, whatever the worker does; the time from the insert to the claim, by the database.
pub(crate) async fn run(place: &Place) -> anyhow::Result<Vec<Measured>> {
    let worker = Worker::start(place);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / RATE);
    for _ in 0..RATE * SECONDS {
        ticks.tick().await;
        let db = place.db.clone();
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
    .fetch_one(place.db.pool())
    .await?;
    Ok(vec![Measured::new(
        "job start latency at 200 jobs/s",
        format!("p50 {p50:.1}, p99 {p99:.1} ms"),
        "p50 <= 5, p99 <= 20 ms",
        json!({ "p50_ms": p50, "p99_ms": p99 }),
    )])
}
