//! Measures how soon readers receive what a provider sends, with a thousand open streams.
//!
//! Everything is real and separate: a provider, a worker process, Postgres, one API process, HTTP clients. Each piece of an
//! answer is the time at which the provider sent it, from which its readers calculate the delay.

use std::time::Duration;

use anyhow::ensure;
use cairn_core::actor::{Caller, Origin, Role};
use cairn_core::clock::{Clock, new_id};
use cairn_core::config::Secret;
use cairn_core::settings::Settings;
use cairn_core::tools::Tool;
use cairn_core::tools::questions::{self, Question};
use cairn_core::users::tokens::{TokenSubject, Tokens};
use cairn_stub_provider::Stub;
use cairn_testing::processes::{Process, Program, free_port};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::api::{Api, JWT_SECRET, client, log};
use crate::database::BenchDatabase;
use crate::measured::Measured;

/// The number of concurrent streams.
const STREAMS: u32 = 1000;
/// Milliseconds from a request to its first piece. By then all of the thousand questions are being answered, so that starting
/// them is not measured.
const WARM_UP: u32 = 5000;
/// The number of pieces in each answer.
const PIECES: usize = 20;

pub(crate) async fn run(database: &BenchDatabase) -> anyhow::Result<Vec<Measured>> {
    // First as many replies as streams, with one piece per second, then eight readers for each reply, with eight pieces per
    // second.
    let mut results = one(database, 1, 1000).await?;
    results.extend(one(database, 8, 125).await?);
    Ok(results)
}

/// Measures with `readers` for each reply and a piece every `gap` milliseconds.
async fn one(database: &BenchDatabase, readers: u32, gap: u32) -> anyhow::Result<Vec<Measured>> {
    let stub = Stub::start().await?;
    let (api, http) = (Api::start(database).await?, client()?);
    let replies = STREAMS / readers;
    let mut clients = JoinSet::new();
    for n in 0..replies {
        // All answers have started when the first pieces arrive, and their pieces are not synchronized.
        let (reply_id, token) = ask(database, gap, WARM_UP + n * gap / replies).await?;
        let url = format!("http://{}/v1/replies/{reply_id}/stream", api.address);
        for _ in 0..readers {
            clients.spawn(follow(http.clone(), url.clone(), token.clone()));
        }
    }
    api.wait_for_streams(&http, replies * readers).await?;
    let worker = worker(database, &stub)?;
    let mut ages = Vec::new();
    let mut listening = 0;
    while let Some(followed) = clients.join_next().await {
        ages.extend(followed??);
        listening = listening.max(listeners(database).await?);
    }
    let (now, most) = api.memory()?;
    drop((worker, api));
    ages.sort_unstable();
    ensure!(ages.len() == PIECES * usize::try_from(replies * readers)?, "{} pieces arrived", ages.len());
    let at = |percent: usize| Duration::from_micros(ages[ages.len() * percent / 100]).as_secs_f64() * 1000.0;
    let value = json!({
        "p50_ms": at(50), "p99_ms": at(99), "pieces": ages.len(), "listening": listening, "rss_kb": now, "peak_kb": most,
    });
    let of = format!("{} streams of {replies} replies", replies * readers);
    Ok(vec![
        Measured::new(
            format!("{of}: provider to client"),
            format!("p50 {:.1}, p99 {:.1} ms", at(50), at(99)),
            "p99 <= 100 ms",
            value,
        ),
        Measured::new(format!("{of}: listening"), format!("{listening} connections"), "<= 2", json!(listening)),
        Measured::new(format!("{of}: memory of the API"), format!("{} MB", most / 1024), "<= 64 MB", json!(most)),
    ])
}

/// Asks a question, which is not answered yet. Returns the reply and the learner's access token.
async fn ask(database: &BenchDatabase, gap: u32, first: u32) -> anyhow::Result<(Uuid, String)> {
    let (clock, user_id, session_id) = (Clock::default(), new_id(), new_id());
    let caller = Caller { user_id, session_id, role: Role::Student, origin: Origin::default() };
    let mut tx = database.db.begin_as(&caller).await?;
    sqlx::query("INSERT INTO users (id, email, first_name) VALUES ($1, $1 || '@example.test', 'Bench')")
        .bind(user_id)
        .execute(&mut **tx)
        .await?;
    sqlx::query("INSERT INTO sessions (id, user_id, expires_at) VALUES ($1, $2, now() + interval '1 day')")
        .bind(session_id)
        .bind(user_id)
        .execute(&mut **tx)
        .await?;
    let text = format!("stub:words={PIECES},first={first},gap={gap},clock=1 What time is it?");
    let question = Question { tool: Tool::Assistant, text: &text, transferred_from: None };
    let accepted = questions::ask(&mut tx, &Settings::default(), &question).await?;
    tx.commit().await?;
    let tokens = Tokens::new(&Secret::new(JWT_SECRET));
    Ok((accepted.reply_id, tokens.issue(TokenSubject { user_id, session_id }, clock.now())?))
}

/// Follows a reply to its end. Returns the age of each piece when it arrived, in microseconds.
async fn follow(http: reqwest::Client, url: String, token: String) -> anyhow::Result<Vec<u64>> {
    let mut response = http.get(url).bearer_auth(token).send().await?.error_for_status()?;
    let (mut received, mut ages, mut is_completed) = (Vec::new(), Vec::new(), false);
    while let Some(bytes) = response.chunk().await? {
        let now = Clock::default().now().timestamp_micros().unsigned_abs();
        received.extend_from_slice(&bytes);
        while let Some(end) = received.windows(2).position(|bytes| bytes == b"\n\n") {
            let event = String::from_utf8(received.drain(..end + 2).collect())?;
            is_completed |= event.contains("event: completed");
            let Some((_, data)) = event.split_once("event: chunk\ndata: ") else { continue };
            let data: Value = serde_json::from_str(data)?;
            for sent in data["text"].as_str().unwrap_or_default().split_whitespace() {
                ages.push(now.saturating_sub(sent.parse()?));
            }
        }
    }
    ensure!(is_completed, "a stream ended before its reply was completed");
    Ok(ages)
}

/// The number of database connections that listen, of the API and the worker together.
async fn listeners(database: &BenchDatabase) -> anyhow::Result<i64> {
    Ok(sqlx::query_scalar(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'",
    )
    .fetch_one(database.db.pool())
    .await?)
}

/// Starts a worker process that generates all replies at once and does nothing else.
fn worker(database: &BenchDatabase, stub: &Stub) -> anyhow::Result<Process> {
    let environment = vec![
        ("DATABASE_URL", database.config.require_database_url()?.expose().to_owned()),
        ("CAIRN_OPS_ADDR", format!("127.0.0.1:{}", free_port()?)),
        ("CAIRN_WORKER_QUEUES", "replies".to_owned()),
        ("CAIRN_WORKER_CONCURRENCY", "replies=1000".to_owned()),
        ("CAIRN_AI_BASE_URL", stub.base_url()),
        ("CAIRN_AI_MODEL", "stub".to_owned()),
        ("CAIRN_LOG", "warn".to_owned()),
    ];
    Program::new("cairn-worker", environment, log()).start(None)
}
