//! `cargo run --release -p cairn-bench` measures the job system on a throw-away Postgres with fsync on: how fast backlogs
//! drain, and how soon a job starts. Prints a table and writes `bench/out/jobs.json`. Figures are compared with the bars
//! by people; nothing fails because a machine was slow.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use cairn_core::admin::activity::{Action, Event};
use cairn_core::clock::Clock;
use cairn_core::config::Config;
use cairn_core::db::{Db, connect_options, migrate};
use cairn_postgres::Durability;
use cairn_postgres::testing::throw_away_server;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Jobs of each drain.
const JOBS: i64 = 100_000;
/// Learners of the progress drain.
const LEARNERS: i64 = 10_000;
/// Jobs a second, and seconds, of the latency measurement.
const RATE: u32 = 200;
const SECONDS: u32 = 10;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let server = throw_away_server(Durability::Full).await?;
    server.create_database_if_missing("bench").await?;
    let url = server.url("bench");
    migrate(&connect_options(&url)?).await?;
    let config = Config::from_values(&HashMap::from([("DATABASE_URL".to_owned(), url.clone())]))?;
    let db = Db::connect(&url, &url, 24)?;

    let results = vec![
        drain_activity(&config, &db).await?,
        drain_progress(&config, &db).await?,
        start_latency(&config, &db).await?,
    ];
    println!("\n{:<44} {:>22} {:>22}", "what", "measured", "bar");
    for result in &results {
        let text = |key: &str| result[key].as_str().unwrap_or_default().to_owned();
        println!("{:<44} {:>22} {:>22}", text("what"), text("measured"), text("bar"));
    }
    std::fs::create_dir_all("bench/out")?;
    std::fs::write("bench/out/jobs.json", serde_json::to_string_pretty(&results)?)?;
    db.close().await;
    server.stop().await.context("stopping Postgres")
}

/// 100,000 events, stored before the worker starts.
async fn drain_activity(config: &Config, db: &Db) -> anyhow::Result<Value> {
    for _ in 0..JOBS / 5000 {
        let mut tx = db.begin().await?;
        for _ in 0..5000 {
            Event::of(None, &Clock::default(), Action::LessonCompleted, None).record(&mut tx)?;
        }
        tx.commit().await?;
    }
    let rate = drain(config, db, "activity").await?;
    Ok(result("drain activity jobs", &format!("{rate:.0}/s"), ">= 10000/s", &json!(rate)))
}

/// 100,000 rollups over 10,000 learners of a roadmap with 40 lessons: ten jobs for each, as repeats and retries make.
async fn drain_progress(config: &Config, db: &Db) -> anyhow::Result<Value> {
    sqlx::raw_sql(PROGRESS_SETUP).execute(db.pool()).await?;
    sqlx::query("INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, priority, metadata)
                 SELECT 'bench' || n, 'progress', convert_to(json_build_object('kind', 'roll_up_progress', 'v', 1, 'data',
                        json_build_object('user_id', d.user_id, 'roadmap_id', d.roadmap_id))::text, 'UTF8'),
                        'Pending', 0, 25, now(), 0, ''
                 FROM (SELECT row_number() OVER (ORDER BY user_id) - 1 AS i, * FROM progress_dirty) d
                 JOIN generate_series(0, $1 - 1) n ON n % $2 = d.i")
        .bind(JOBS)
        .bind(LEARNERS)
        .execute(db.pool())
        .await?;
    let rate = drain(config, db, "progress").await?;
    let stale: i64 = sqlx::query_scalar("SELECT count(*) FROM progress_dirty WHERE done_seq < requested_seq")
        .fetch_one(db.pool())
        .await?;
    anyhow::ensure!(stale == 0, "{stale} learners were left stale");
    Ok(result("drain progress jobs over 10k learners", &format!("{rate:.0}/s"), ">= 5000/s", &json!(rate)))
}

const PROGRESS_SETUP: &str = "
    INSERT INTO course_modules (id, slug, title, publication) VALUES (gen_random_uuid(), 'bench', 'Bench', 'published');
    INSERT INTO lessons (module_id, slug, title, duration_minutes, publication, position)
        SELECT m.id, 'bench-' || n, 'Lesson', 5, 'published', n FROM course_modules m, generate_series(1, 40) n;
    INSERT INTO roadmaps (slug, title, publication, is_sequential) VALUES ('bench', 'Bench', 'published', true);
    INSERT INTO stages (roadmap_id, slug, title, publication, position)
        SELECT r.id, 'stage-' || n, 'Stage', 'published', n FROM roadmaps r, generate_series(0, 4) n;
    INSERT INTO stage_lessons (stage_id, lesson_id, position)
        SELECT s.id, l.id, l.position FROM lessons l JOIN stages s ON s.position = (l.position - 1) / 8;
    INSERT INTO users (email, first_name) SELECT 'bench' || n || '@example.test', 'Bench' FROM generate_series(1, 10000) n;
    INSERT INTO user_lesson_progress (user_id, lesson_id, status, completed_at)
        SELECT u.id, l.id, 'completed', now() FROM users u, lessons l WHERE l.position <= 12;
    ANALYZE;
";

/// Starts a worker and measures until the queue's last job is done.
async fn drain(config: &Config, db: &Db, queue: &str) -> anyhow::Result<f64> {
    let jobs: i64 = count(db, queue, false).await?;
    let worker = Worker::start(config, db);
    let begun = Instant::now();
    while count(db, queue, true).await? > 0 {
        anyhow::ensure!(begun.elapsed() < Duration::from_mins(5), "the queue {queue} did not drain within 300 s");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = jobs as f64 / begun.elapsed().as_secs_f64();
    worker.stop().await?;
    Ok(rate)
}

async fn count(db: &Db, queue: &str, one_is_enough: bool) -> anyhow::Result<i64> {
    Ok(sqlx::query_scalar(
        "SELECT count(*) FROM (SELECT FROM apalis.jobs WHERE job_type = $1 AND status IN ('Pending', 'Running', 'Failed') LIMIT $2) j",
    )
    .bind(queue)
    .bind(if one_is_enough { 1_i64 } else { i64::MAX })
    .fetch_one(db.pool())
    .await?)
}

/// Events at a steady rate, whatever the worker does; the time from commit (less the insert) to claim, by the database.
async fn start_latency(config: &Config, db: &Db) -> anyhow::Result<Value> {
    sqlx::query("DELETE FROM apalis.jobs").execute(db.pool()).await?;
    let worker = Worker::start(config, db);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / RATE);
    for _ in 0..RATE * SECONDS {
        ticks.tick().await;
        let db = db.clone();
        tokio::spawn(async move {
            let mut tx = db.begin().await?;
            Event::of(None, &Clock::default(), Action::LessonCompleted, None).record(&mut tx)?;
            tx.commit().await
        });
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    worker.stop().await?;
    let (p50, p99): (f64, f64) = sqlx::query_as(
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY ms), percentile_cont(0.99) WITHIN GROUP (ORDER BY ms)
         FROM (SELECT extract(epoch FROM lock_at - run_at)::float8 * 1000 AS ms FROM apalis.jobs WHERE job_type = 'activity') l",
    )
    .fetch_one(db.pool())
    .await?;
    let measured = format!("p50 {p50:.1} p99 {p99:.1} ms");
    Ok(result(
        "job start latency at 200 jobs/s",
        &measured,
        "p50 <= 5, p99 <= 20 ms",
        &json!({ "p50_ms": p50, "p99_ms": p99 }),
    ))
}

fn result(what: &str, measured: &str, bar: &str, value: &Value) -> Value {
    json!({ "what": what, "measured": measured, "bar": bar, "value": value })
}

struct Worker {
    stop: CancellationToken,
    running: tokio::task::JoinHandle<cairn_core::Result<()>>,
}

impl Worker {
    fn start(config: &Config, db: &Db) -> Self {
        let stop = CancellationToken::new();
        let (config, db, token) = (config.clone(), db.clone(), stop.clone());
        Self { stop, running: tokio::spawn(async move { cairn_worker::run(&config, db, token).await }) }
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        Ok(self.running.await??)
    }
}
