//! Measures how fast a backlog is processed.

use std::time::{Duration, Instant};

use cairn_core::activity::{Action, Noun, Verb};
use serde_json::json;

use crate::BenchDatabase;
use crate::measured::Measured;
use crate::worker::Worker;

/// The number of jobs in each backlog.
const JOBS: i64 = 100_000;
/// The number of learners in the backlog of rollups.
const LEARNERS: i64 = 10_000;

pub(crate) async fn run(database: &BenchDatabase) -> anyhow::Result<Vec<Measured>> {
    Ok(vec![activity(database).await?, progress(database).await?])
}

/// 100,000 events that are stored before the worker starts.
async fn activity(database: &BenchDatabase) -> anyhow::Result<Measured> {
    for _ in 0..JOBS / 5000 {
        let mut tx = database.db.begin().await?;
        for _ in 0..5000 {
            tx.record(Action::new(Noun::Lesson, Verb::Completed))?;
        }
        tx.commit().await?;
    }
    let rate = drain(database, "activity").await?;
    Ok(Measured::new("drain activity jobs", format!("{rate:.0}/s"), ">= 10000/s", json!(rate)))
}

/// 100,000 rollups for 10,000 learners of a roadmap with 40 lessons, ten jobs for each, as repeats and retries cause.
async fn progress(database: &BenchDatabase) -> anyhow::Result<Measured> {
    let pool = database.db.pool();
    sqlx::raw_sql(PROGRESS_SETUP).execute(pool).await?;
    sqlx::query("INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, priority, metadata)
                 SELECT 'bench' || n, 'progress', convert_to(json_build_object('kind', 'roll_up_progress', 'v', 1, 'data',
                        json_build_object('user_id', d.user_id, 'roadmap_id', d.roadmap_id))::text, 'UTF8'),
                        'Pending', 0, 25, now(), 0, ''
                 FROM (SELECT row_number() OVER (ORDER BY user_id) - 1 AS i, * FROM progress_dirty) d
                 JOIN generate_series(0, $1 - 1) n ON n % $2 = d.i")
        .bind(JOBS)
        .bind(LEARNERS)
        .execute(pool)
        .await?;
    let rate = drain(database, "progress").await?;
    let stale: i64 = sqlx::query_scalar("SELECT count(*) FROM progress_dirty WHERE done_seq < requested_seq")
        .fetch_one(pool)
        .await?;
    anyhow::ensure!(stale == 0, "{stale} learners are still stale");
    Ok(Measured::new("drain progress jobs over 10k learners", format!("{rate:.0}/s"), ">= 5000/s", json!(rate)))
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

/// Starts a worker and measures the time until the last job of the queue is done.
async fn drain(database: &BenchDatabase, queue: &str) -> anyhow::Result<f64> {
    let jobs = count(database, queue, false).await?;
    let worker = Worker::start(database);
    let started = Instant::now();
    while count(database, queue, true).await? > 0 {
        anyhow::ensure!(started.elapsed() < Duration::from_mins(5), "the queue {queue} did not drain within 300 s");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = jobs as f64 / started.elapsed().as_secs_f64();
    worker.stop().await?;
    Ok(rate)
}

async fn count(database: &BenchDatabase, queue: &str, one_is_enough: bool) -> anyhow::Result<i64> {
    Ok(sqlx::query_scalar(
        "SELECT count(*) FROM (SELECT FROM apalis.jobs WHERE job_type = $1 AND status IN ('Pending', 'Running', 'Failed') LIMIT $2) j",
    )
    .bind(queue)
    .bind(if one_is_enough { 1_i64 } else { i64::MAX })
    .fetch_one(database.db.pool())
    .await?)
}
