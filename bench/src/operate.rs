//! Measures how operators' queries, claims and retention perform with five million finished jobs.

use std::time::{Duration, Instant};

use cairn_core::admin::jobs::{self, JobAction, Selection};
use cairn_core::admin::{self, health, housekeeping};
use cairn_core::clock::new_id;
use cairn_core::learning::jobs::RollUpProgress;
use cairn_core::queue::board::{self, Status};
use cairn_core::queue::inspect::{self, Filter, Key, State};
use cairn_core::queue::lease::{self, Outcome};
use cairn_core::queue::{JobKind, Queue, claim, queues};
use cairn_core::{learning, tools};
use chrono::{DateTime, Utc};
use serde_json::json;

use crate::database::BenchDatabase;
use crate::measured::Measured;

/// How often each operation is measured.
const RUNS: usize = 20;

/// A day of finished jobs in the platform's usual mix: mostly of two queues, occasionally of others, in the order in which
/// they ended. In addition 2,000 dead, 6,000 waiting and 300 running jobs, and the counts of three processes.
const FILL: &str = r#"
    SET synchronous_commit = off;
    INSERT INTO apalis.workers (id, worker_type, storage_name)
        SELECT q || '-' || n, q, 'cairn'
        FROM unnest('{activity,progress,progress-bulk,likes,replies,maintenance}'::text[]) q, generate_series(1, 3) n;
    INSERT INTO apalis.jobs (id, job_type, job, status, attempts, run_at, lock_at, done_at, last_result, priority, metadata)
        SELECT to_char(n, 'FM00000000000000000000000000'), queue, convert_to('{"kind":"' || kind ||
            '","v":1,"traceparent":"00-' || md5(n::text) || '-b7ad6b7169203331-01","data":{"id":"' || gen_random_uuid()
            || '"}}', 'UTF8'), 'Done', 1, at, at, at + interval '10 ms', '{"Ok": null}', 0, ''
        FROM (
            SELECT n, now() - (5000000 - n) * interval '23 hours' / 5000000 AS at, queue, CASE queue
                WHEN 'activity' THEN 'record_activity' WHEN 'progress' THEN 'roll_up_progress'
                WHEN 'likes' THEN 'count_likes' WHEN 'replies' THEN 'generate_reply'
                ELSE CASE WHEN n % (288 * 720) = 0 THEN 'housekeeping' ELSE 'reconcile' END END AS kind
            FROM (
                SELECT n, CASE WHEN n % 5000 = 1 THEN 'replies' WHEN n % 288 = 0 THEN 'maintenance'
                    WHEN n % 25 = 3 THEN 'likes' WHEN n % 3 = 0 THEN 'progress' ELSE 'activity' END AS queue
                FROM generate_series(1, 5000000) n
            ) q
        ) j;
    INSERT INTO apalis.jobs (id, job_type, job, status, attempts, run_at, done_at, last_result, priority, metadata)
        SELECT 'dead' || n, (ARRAY['activity', 'likes', 'replies'])[1 + n % 3], '{"kind":"count_likes"}', 'Killed', 25,
            now() - n * interval '1 minute', now() - n * interval '1 minute', '{"Err": "no"}', 0, ''
        FROM generate_series(1, 2000) n;
    INSERT INTO apalis.jobs (id, job_type, job, status, attempts, run_at, priority, metadata)
        SELECT 'waits' || n, (ARRAY['activity', 'likes', 'replies'])[1 + n % 3], '{"kind":"count_likes"}',
            (ARRAY['Pending', 'Failed'])[1 + n % 2], n % 2, now() + (n - 3000) * interval '1 second', 0, ''
        FROM generate_series(1, 6000) n;
    INSERT INTO apalis.jobs (id, job_type, job, status, attempts, lock_at, lock_by, priority, metadata)
        SELECT 'runs' || n, 'activity', '{"kind":"record_activity"}', 'Running', 1, now(), 'activity-' || 1 + n % 3, 0, ''
        FROM generate_series(1, 300) n;
    INSERT INTO job_counts (queue, slot, worker, done, failed)
        SELECT q, date_bin('10 seconds', now() - s * interval '10 seconds', '2000-01-01'), q || '-' || w, 100, 1
        FROM unnest('{activity,progress,progress-bulk,likes,replies,maintenance}'::text[]) q,
            generate_series(1, 3) w, generate_series(0, 719) s;
    ANALYZE
"#;

pub(crate) async fn run(database: &BenchDatabase) -> anyhow::Result<Vec<Measured>> {
    let db = &database.db;
    sqlx::query("INSERT INTO apalis.workers (id, worker_type, storage_name) VALUES ('bench', 'likes', 'cairn')")
        .execute(db.pool())
        .await?;
    let before = cycle(database).await?;
    sqlx::raw_sql(FILL).execute(&database.admin).await?;
    sqlx::query("VACUUM apalis.jobs").execute(&database.admin).await?;
    let mut measured = queries(database).await?;
    measured.extend(commands(database).await?);
    let after = cycle(database).await?;
    measured.push(Measured::new(
        "enqueue, claim, finish: without and with 5M done",
        format!("{before:.0}/s, {after:.0}/s"),
        ">= 0.9 of before",
        json!({ "before": before, "after": after }),
    ));
    Ok(measured)
}

/// Measures operations that only read.
async fn queries(database: &BenchDatabase) -> anyhow::Result<Vec<Measured>> {
    let mut connection = database.db.acquire().await?;
    let c = &mut *connection;
    let mut measured = Vec::new();
    macro_rules! measure {
        ($what:expr, $call:expr) => {{
            let mut times = Vec::new();
            for _ in 0..RUNS {
                let started = Instant::now();
                $call.await?;
                times.push(started.elapsed());
            }
            measured.push(in_time($what, times));
        }};
    }
    let yesterday: (DateTime<Utc>,) = sqlx::query_as("SELECT now() - interval '20 hours'").fetch_one(&mut *c).await?;
    let deep: Key = (yesterday.0, String::new());
    let filter = |state, queue, kind: Option<&str>| {
        Filter::new(state, queue, kind.and_then(JobKind::from_name)).unwrap_or_default()
    };
    measure!("overview of the queues", queues::overview(c));
    measure!("workers", queues::workers(c, None, 101));
    measure!("list of all jobs", inspect::list(c, &Filter::default(), None, 101));
    for state in State::ALL {
        measure!(
            format!("list of {} jobs", state.name()),
            inspect::list(c, &filter(Some(state), None, None), None, 101)
        );
    }
    let rare = filter(Some(State::Done), Some(Queue::Replies), None);
    measure!("list of done jobs of a rare queue", inspect::list(c, &rare, None, 101));
    let common = filter(Some(State::Done), Some(Queue::Activity), None);
    measure!("list of done jobs, deep page", inspect::list(c, &common, Some(&deep), 101));
    let kind = filter(Some(State::Done), None, Some("housekeeping"));
    measure!("list of done jobs of a rare kind", inspect::list(c, &kind, None, 101));
    measure!("one job", inspect::find(c, "00000000000000000000000077"));
    measure!("unfinished work", health::unsettled(c));
    measure!("board: done jobs, last page", board::page(c, Status::Done, None, 100, 1900));
    measure!("board: dead jobs", board::page(c, Status::Killed, None, 100, 0));
    measure!("board: number of done jobs, up to 2,000", board::count_done(c, None, 2000));
    Ok(measured)
}

/// Measures operations that write. Each of them is rolled back.
async fn commands(database: &BenchDatabase) -> anyhow::Result<Vec<Measured>> {
    let db = &database.db;
    let mut measured = Vec::new();
    macro_rules! measure {
        ($what:expr, |$tx:ident| $call:expr) => {{
            let mut times = Vec::new();
            for _ in 0..RUNS {
                let mut $tx = db.begin().await?;
                let started = Instant::now();
                $call.await?;
                times.push(started.elapsed());
                $tx.rollback().await?;
            }
            measured.push(in_time($what, times));
        }};
    }
    measure!("retry of one job", |tx| jobs::apply_one(&mut tx, JobAction::Retry, "dead7"));
    measure!("discard of one job", |tx| jobs::apply_one(&mut tx, JobAction::Discard, "dead7"));
    for (what, action) in [("retry of 100 jobs", JobAction::Retry), ("discard of 100 jobs", JobAction::Discard)] {
        let selection = Selection::new(action, Queue::Likes, None, State::Dead);
        let selection = selection.ok_or_else(|| anyhow::anyhow!("dead jobs can be acted on"))?;
        measure!(what, |tx| jobs::apply_batch(&mut tx, action, &selection, None));
    }
    measure!("pause of a queue", |tx| admin::queues::pause(&mut tx, Queue::Likes));
    measure!("claim of 64 jobs", |tx| claim::claim(&mut tx, Queue::Likes, "bench", 64));
    measure!("rescue of 300 jobs", |tx| lease::rescue(&mut tx, Duration::from_secs(30)));
    measure!("reconciler: roadmaps and replies", |tx| async {
        learning::jobs::stale_roadmaps(&mut tx).await?;
        tools::jobs::dead_replies(&mut tx).await
    });
    measured.push(retention(database).await?);
    Ok(measured)
}

/// Removes as many chunks of 5,000 jobs as possible in two seconds, and measures the time per chunk.
async fn retention(database: &BenchDatabase) -> anyhow::Result<Measured> {
    sqlx::query("UPDATE platform_settings SET value = '20' WHERE key = 'jobs.keep_done_hours'")
        .execute(database.db.pool())
        .await?;
    let count = "SELECT count(*) FROM apalis.jobs";
    let before: i64 = sqlx::query_scalar(count).fetch_one(database.db.pool()).await?;
    let started = Instant::now();
    housekeeping::run(database.db.pool(), Duration::from_secs(2)).await?;
    let elapsed = started.elapsed();
    let removed = before - sqlx::query_scalar::<_, i64>(count).fetch_one(database.db.pool()).await?;
    anyhow::ensure!(removed > 0, "retention removed nothing");
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = removed as f64 / elapsed.as_secs_f64();
    let text = format!("{rate:.0}/s, {:.0} ms a chunk", 5000.0 / rate * 1000.0);
    Ok(Measured::new("retention of done jobs", text, ">= 5000/s", json!(rate)))
}

/// How many jobs one connection takes through all their states in a second. Starts after a checkpoint, so that neither
/// measurement pays for earlier writes.
async fn cycle(database: &BenchDatabase) -> anyhow::Result<f64> {
    const JOBS: usize = 20_000;
    let (user_id, roadmap_id) = (new_id(), new_id());
    let mut connection = database.db.acquire().await?;
    sqlx::query("CHECKPOINT").execute(&database.admin).await?;
    let started = Instant::now();
    for _ in 0..JOBS / 100 {
        let mut tx = database.db.begin().await?;
        for _ in 0..100 {
            tx.enqueue(&RollUpProgress { user_id, roadmap_id })?;
        }
        tx.commit().await?;
        let leases = claim::claim(&mut connection, Queue::Progress, "bench", 100).await?;
        anyhow::ensure!(leases.len() == 100, "{} jobs were claimed", leases.len());
        let finished: Vec<_> = leases.iter().map(|lease| lease.finished(Outcome::Done)).collect();
        lease::finish(&mut connection, "bench", &finished).await?;
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = JOBS as f64 / started.elapsed().as_secs_f64();
    Ok(rate)
}

fn in_time(what: impl Into<String>, mut times: Vec<Duration>) -> Measured {
    times.sort();
    let ms = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1000.0);
    let (p50, max) = (ms(times.get(times.len() / 2)), ms(times.last()));
    let value = json!({ "p50_ms": p50, "max_ms": max });
    Measured::new(what, format!("p50 {p50:.1}, max {max:.1} ms"), "< 50 ms", value)
}
