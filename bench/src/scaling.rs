//! Measures what a second worker process gains when most of the time is spent waiting for the provider of answers.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use cairn_chaos::processes::{Process, Program, free_port};
use cairn_core::actor::{Caller, Origin, Role};
use cairn_core::clock::new_id;
use cairn_core::settings::Settings;
use cairn_core::tools::Tool;
use cairn_core::tools::questions::{self, Question};
use cairn_stub_provider::Stub;
use serde_json::json;

use crate::BenchDatabase;
use crate::measured::Measured;

/// The number of questions in each run.
const QUESTIONS: usize = 200;
/// An answer takes half a second, during which everything just waits.
const QUESTION: &str = "stub:words=10,first=300,gap=20 How do servers work?";
/// How many answers one process may wait for at once.
const CONCURRENCY: &str = "replies=8";

pub(crate) async fn run(database: &BenchDatabase) -> anyhow::Result<Vec<Measured>> {
    let stub = Stub::start().await?;
    let one = replies_per_second(database, &stub, 1).await?;
    let two = replies_per_second(database, &stub, 2).await?;
    let value = json!({ "one_process": one, "two_processes": two, "ratio": two / one });
    let measured = format!("{one:.1}/s, {two:.1}/s = {:.2}", two / one);
    Ok(vec![Measured::new("replies, 1 and 2 worker processes", measured, ">= 1.8", value)])
}

/// Starts the processes, waits until they are ready, asks, and measures the time until the last answer is complete.
async fn replies_per_second(database: &BenchDatabase, stub: &Stub, processes: usize) -> anyhow::Result<f64> {
    let logs = std::env::temp_dir().join(format!("cairn-bench-{}.log", std::process::id()));
    let mut workers: Vec<Process> = Vec::new();
    for _ in 0..processes {
        let environment = vec![
            ("DATABASE_URL", database.config.require_database_url()?.expose().to_owned()),
            ("CAIRN_OPS_ADDR", format!("127.0.0.1:{}", free_port()?)),
            ("CAIRN_WORKER_QUEUES", "replies,activity".to_owned()),
            ("CAIRN_WORKER_CONCURRENCY", CONCURRENCY.to_owned()),
            ("CAIRN_AI_BASE_URL", stub.base_url()),
            ("CAIRN_AI_MODEL", "stub".to_owned()),
            ("CAIRN_LOG", "warn".to_owned()),
        ];
        workers.push(Program::new("cairn-worker", environment, logs.clone()).start(None)?);
    }
    wait_for(database, "SELECT count(*) >= $1 FROM apalis.workers WHERE worker_type = 'replies' AND last_seen > now() - interval '5 seconds'", processes).await?;
    ask(database).await?;
    let started = Instant::now();
    wait_for(database, "SELECT count(*) <= $1 FROM ai_replies WHERE state IN ('queued', 'streaming')", 0).await?;
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = QUESTIONS as f64 / started.elapsed().as_secs_f64();
    drop(workers);
    // The next run must not mistake these workers for its own.
    sqlx::query("UPDATE apalis.workers SET last_seen = to_timestamp(0)").execute(database.db.pool()).await?;
    let unanswered: i64 = sqlx::query_scalar("SELECT count(*) FROM ai_replies WHERE state <> 'completed'")
        .fetch_one(database.db.pool())
        .await?;
    ensure!(unanswered == 0, "{unanswered} replies are not completed");
    let _ = std::fs::remove_file(logs);
    Ok(rate)
}

/// Asks all questions at once, each by another learner.
async fn ask(database: &BenchDatabase) -> anyhow::Result<()> {
    for _ in 0..QUESTIONS {
        let user_id = new_id();
        let caller = Caller { user_id, session_id: new_id(), role: Role::Student, origin: Origin::default() };
        let mut tx = database.db.begin_as(&caller).await?;
        sqlx::query("INSERT INTO users (id, email, first_name) VALUES ($1, $1 || '@example.test', 'Bench')")
            .bind(user_id)
            .execute(&mut **tx)
            .await?;
        let question = Question { tool: Tool::Assistant, text: QUESTION, transferred_from: None };
        questions::ask(&mut tx, &Settings::default(), &question).await?;
        tx.commit().await?;
    }
    Ok(())
}

async fn wait_for(database: &BenchDatabase, condition: &'static str, n: usize) -> anyhow::Result<()> {
    let started = Instant::now();
    let n = i64::try_from(n).context("the count is too large")?;
    while !sqlx::query_scalar::<_, bool>(condition).bind(n).fetch_one(database.db.pool()).await? {
        ensure!(started.elapsed() < Duration::from_mins(2), "timed out waiting for: {condition}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
