//! Measures the reads of the whole platform with a million users and ten million activities: the dashboard, every list of the
//! OpenAPI document on its first page and far down, and searches in 50,000 documents. Over HTTP, one request at a time.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use cairn_core::clock::Clock;
use cairn_core::config::Secret;
use cairn_core::library::search;
use cairn_core::stats::refresh;
use cairn_core::users::tokens::{TokenSubject, Tokens};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::api::{Api, JWT_SECRET, client};
use crate::database::BenchDatabase;
use crate::http::Connection;
use crate::measured::Measured;

/// How often each read is measured.
const RUNS: usize = 20;
/// How many pages of 100 are turned before a deep page is measured, if there are that many.
const DEPTH: usize = 200;

/// The admin and a student of the seed, with their sessions.
const ADMIN: u128 = 1;
const STUDENT: u128 = 2500;

pub(crate) async fn run(database: &BenchDatabase) -> anyhow::Result<Vec<Measured>> {
    let pool = &database.admin;
    let started = Instant::now();
    sqlx::raw_sql(include_str!("platform.sql")).execute(pool).await?;
    eprintln!("  seeded in {:.0} s", started.elapsed().as_secs_f64());
    sqlx::raw_sql("VACUUM ANALYZE").execute(pool).await?;
    let mut connection = pool.acquire().await?;
    let started = Instant::now();
    while refresh::quarters(&mut connection).await? {}
    while refresh::next_lesson(&mut connection).await?.is_some() && started.elapsed() < Duration::from_mins(3) {}
    search::count_terms(&mut connection).await?;
    eprintln!("  statistics counted in {:.0} s", started.elapsed().as_secs_f64());
    drop(connection);
    for statement in ["VACUUM ANALYZE", "CHECKPOINT"] {
        sqlx::raw_sql(statement).execute(pool).await?;
    }

    let api = Api::start(database).await?;
    let reader =
        Reader { token: token(ADMIN)?, student: token(STUDENT)?, connection: Connection::open(&api.address).await? };
    measure(database, &api, reader).await
}

/// One client with the tokens of an admin and of a student.
struct Reader {
    token: String,
    student: String,
    connection: Connection,
}

impl Reader {
    async fn json(&mut self, path: &str, is_admin: bool) -> anyhow::Result<Value> {
        let token = if is_admin { &self.token } else { &self.student };
        Ok(serde_json::from_slice(self.connection.get(path, token).await?)?)
    }

    /// Reads a path [`RUNS`] times.
    async fn time(&mut self, what: &str, path: &str, bar: u64, is_admin: bool) -> anyhow::Result<Measured> {
        let mut times = Vec::new();
        for _ in 0..RUNS {
            let started = Instant::now();
            let token = if is_admin { &self.token } else { &self.student };
            self.connection.get(path, token).await?;
            times.push(started.elapsed());
        }
        times.sort_unstable();
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        let (p50, max) = (ms(times[RUNS / 2]), ms(times[RUNS - 1]));
        let target = if bar == 50 { "<= 50 ms" } else { "<= 20 ms" };
        Ok(Measured::new(
            what,
            format!("p50 {p50:.1}, max {max:.1} ms"),
            target,
            json!({ "p50_ms": p50, "max_ms": max }),
        ))
    }
}

async fn measure(database: &BenchDatabase, api: &Api, mut reader: Reader) -> anyhow::Result<Vec<Measured>> {
    let mut measured = vec![reader.time("dashboard", "/v1/admin/stats/dashboard", 50, true).await?];
    for (operation, path) in lists(database, api).await? {
        let is_admin = path.starts_with("/v1/admin") || path.starts_with("/v1/mentor");
        let separator = if path.contains('?') { '&' } else { '?' };
        let first = format!("{path}{separator}limit=100");
        measured.push(reader.time(&format!("{operation}: first page"), &first, 20, is_admin).await?);
        let (mut page, mut depth) = (first.clone(), 0);
        while depth < DEPTH
            && let Some(cursor) = reader.json(&page, is_admin).await?["next_cursor"].as_str()
        {
            page = format!("{first}&cursor={cursor}");
            depth += 1;
        }
        if depth > 0 {
            measured.push(reader.time(&format!("{operation}: page {}", depth + 1), &page, 20, is_admin).await?);
        }
    }
    let words: Vec<String> = sqlx::query_scalar(
        "SELECT split_part(summary, ' ', 1) FROM lessons WHERE position IN (7, 77, 777) ORDER BY position",
    )
    .fetch_all(database.db.pool())
    .await?;
    let [common, second, third] = &words[..] else { anyhow::bail!("no words") };
    let prefix: String = common.chars().take(3).collect();
    let misspelt: String = second.chars().rev().collect();
    for (what, query) in [
        ("one word", common.clone()),
        ("three words", format!("{common} {second} {third}")),
        ("a prefix", prefix),
        ("a word that does not occur", misspelt),
    ] {
        let path = format!("/v1/search?q={}", encoded(&query));
        measured.push(reader.time(&format!("search: {what}"), &path, 20, false).await?);
    }
    Ok(measured)
}

/// The operation ids and paths of all lists of the document, with ids of the seed.
async fn lists(database: &BenchDatabase, api: &Api) -> anyhow::Result<Vec<(String, String)>> {
    let document = client()?.get(format!("http://{}/openapi.json", api.address)).send().await?.text().await?;
    let document: Value = serde_json::from_str(&document)?;
    let roadmap: Uuid =
        sqlx::query_scalar("SELECT id FROM roadmaps ORDER BY position LIMIT 1").fetch_one(database.db.pool()).await?;
    let mut lists = Vec::new();
    for (path, item) in document["paths"].as_object().context("no paths")? {
        let parameters = item["get"]["parameters"].as_array().cloned().unwrap_or_default();
        let is_list = parameters.iter().any(|parameter| parameter["$ref"] == "#/components/parameters/Cursor");
        if !is_list {
            continue;
        }
        let path = path
            .replace("{student_id}", &user(STUDENT).to_string())
            .replace("{roadmap_id}", &roadmap.to_string())
            .replace("{tool_type}", "assistant")
            .replace("{target_type}", "roadmap")
            .replace("{target_id}", &roadmap.to_string());
        // This school has neither messages in chats nor evaluations.
        if path.contains('{') {
            continue;
        }
        lists.push((item["get"]["operationId"].as_str().unwrap_or_default().to_owned(), path));
    }
    Ok(lists)
}

/// The nth user of the seed.
fn user(n: u128) -> Uuid {
    Uuid::from_u128(0x0198_c2f0_7a53_7cc1_9d2e_0000_0000_0000 + n)
}

fn token(n: u128) -> anyhow::Result<String> {
    let session_id = Uuid::from_u128(0x0198_c2f1_7a53_7cc1_9d2e_0000_0000_0000 + n);
    let subject = TokenSubject { user_id: user(n), session_id };
    Ok(Tokens::new(&Secret::new(JWT_SECRET)).issue(subject, Clock::default().now())?)
}

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
