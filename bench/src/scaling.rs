//! What a second worker process brings where the provider of answers is what takes the time.

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

use crate::Place;
use crate::measured::Measured;

/// Questions of each run.
const QUESTIONS: usize = 200;
/// An answer takes half a second, in which nobody has anything to do but to wait.
const QUESTION: &str = "stub:words=10,first=300,gap=20 How do servers work?";
/// Answers that one process waits for at once.
const PLACES: &str = "replies=8";

pub(crate) async fn run(place: &Place) -> anyhow::Result<Vec<Measured>> {
    let stub = Stub::start().await?;
    let one = replies_a_second(place, &stub, 1).await?;
    let two = replies_a_second(place, &stub, 2).await?;
    let value = json!({ "one_process": one, "two_processes": two, "ratio": two / one });
    let measured = format!("{one:.1}/s, {two:.1}/s = {:.2}", two / one);
    Ok(vec![Measured::new("replies, 1 and 2 worker processes", measured, ">= 1.8", value)])
}

/// Starts the processes, lets them get ready, asks, and measures until the last answer is there.
async fn replies_a_second(place: &Place, stub: &Stub, processes: usize) -> anyhow::Result<f64> {
    let logs = std::env::temp_dir().join(format!("cairn-bench-{}.log", std::process::id()));
    let mut workers: Vec<Process> = Vec::new();
    for _ in 0..processes {
        let environment = vec![
            ("DATABASE_URL", place.config.require_database_url()?.expose().to_owned()),
            ("CAIRN_OPS_ADDR", format!("127.0.0.1:{}", free_port()?)),
            ("CAIRN_WORKER_QUEUES", "replies,activity".to_owned()),
            ("CAIRN_WORKER_CONCURRENCY", PLACES.to_owned()),
            ("CAIRN_AI_BASE_URL", stub.base_url()),
            ("CAIRN_AI_MODEL", "stub".to_owned()),
            ("CAIRN_LOG", "warn".to_owned()),
        ];
        workers.push(Program::new("cairn-worker", environment, logs.clone()).start(None)?);
    }
    wait_for(place, "SELECT count(*) >= $1 FROM apalis.workers WHERE worker_type = 'replies' AND last_seen > now() - interval '5 seconds'", processes).await?;
    ask(place).await?;
    let begun = Instant::now();
    wait_for(place, "SELECT count(*) <= $1 FROM ai_replies WHERE state IN ('queued', 'streaming')", 0).await?;
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = QUESTIONS as f64 / begun.elapsed().as_secs_f64();
    drop(workers);
    // So that the next run does not find these workers alive.
    sqlx::query("UPDATE apalis.workers SET last_seen = to_timestamp(0)").execute(place.db.pool()).await?;
    let unanswered: i64 = sqlx::query_scalar("SELECT count(*) FROM ai_replies WHERE state <> 'completed'")
        .fetch_one(place.db.pool())
        .await?;
    ensure!(unanswered == 0, "{unanswered} replies are not completed");
    let _ = std::fs::remove_file(logs);
    Ok(rate)
}

/// As many learners as questions, all at once.
async fn ask(place: &Place) -> anyhow::Result<()> {
    for _ in 0..QUESTIONS {
        let user_id = new_id();
        let caller = Caller { user_id, session_id: new_id(), role: Role::Student, origin: Origin::default() };
        let mut tx = place.db.begin_as(&caller).await?;
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

async fn wait_for(place: &Place, condition: &'static str, n: usize) -> anyhow::Result<()> {
    let begun = Instant::now();
    let n = i64::try_from(n).context("a count")?;
    while !sqlx::query_scalar::<_, bool>(condition).bind(n).fetch_one(place.db.pool()).await? {
        ensure!(begun.elapsed() < Duration::from_mins(2), "never so: {condition}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
