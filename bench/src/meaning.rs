//! Measures how long it takes to find what is near to a question among the passages of 50,000 lessons, and how much memory their
//! vectors need.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use cairn_core::config::Config;
use cairn_stub_provider::Stub;
use cairn_worker::embeddings::Meaning;
use prometheus::Registry;
use serde_json::json;

use crate::database::BenchDatabase;
use crate::measured::Measured;

/// The number of passages: eight for each lesson.
const PASSAGES: i32 = 400_000;

/// How many questions are asked.
const QUESTIONS: usize = 100;

pub(crate) async fn run(database: &BenchDatabase) -> anyhow::Result<Vec<Measured>> {
    // Random vectors of 384 dimensions, like those of small models.
    sqlx::query(
        "INSERT INTO search_passages (object_id, kind, nth, content, vector, embedded_by, embedding, embedded_at)
         SELECT md5((n / 8)::text)::uuid, 'lesson', n % 8, 'A passage', '', 'stub',
             (SELECT string_agg(sha512((n || '.' || part)::bytea), '') FROM generate_series(1, 6) part), now()
         FROM generate_series(0, $1 - 1) n",
    )
    .bind(PASSAGES)
    .execute(&database.admin)
    .await?;
    sqlx::raw_sql("VACUUM ANALYZE search_passages").execute(&database.admin).await?;
    let stub = Stub::start().await?;
    let values = HashMap::from([
        ("CAIRN_EMBEDDINGS_BASE_URL".to_owned(), stub.base_url()),
        ("CAIRN_EMBEDDINGS_MODEL".to_owned(), "stub".to_owned()),
    ]);
    let config = Config::from_values(&values)?.embeddings.context("no endpoint")?;
    let meaning = Meaning::new(&config, &Registry::new())?;
    let (before, started) = (resident_kb()?, Instant::now());
    while meaning.near(&database.db, "the first question").await.is_empty() {
        ensure!(started.elapsed() < Duration::from_mins(2), "the vectors were not read");
    }
    let (read, memory) = (started.elapsed(), resident_kb()?.saturating_sub(before));
    let mut times = Vec::new();
    for n in 0..QUESTIONS {
        let started = Instant::now();
        let near = meaning.near(&database.db, &format!("question number {n}")).await;
        times.push(started.elapsed().as_secs_f64() * 1000.0);
        ensure!(near.len() == 20, "{} objects are near", near.len());
    }
    times.sort_by(f64::total_cmp);
    let (p50, p99) = (times[QUESTIONS / 2], times[QUESTIONS * 99 / 100]);
    let of = format!("{PASSAGES} passages");
    Ok(vec![
        Measured::new(
            format!("{of}: what is near to a question"),
            format!("p50 {p50:.1}, p99 {p99:.1} ms"),
            "p99 <= 250 ms",
            json!({ "p50_ms": p50, "p99_ms": p99 }),
        ),
        Measured::new(
            format!("{of}: vectors are read"),
            format!("{:.1} s, {} MB", read.as_secs_f64(), memory / 1024),
            "once an hour",
            json!({ "seconds": read.as_secs_f64(), "kb": memory }),
        ),
    ])
}

/// The memory of this process.
fn resident_kb() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}
