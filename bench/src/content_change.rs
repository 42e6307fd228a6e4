//! Measures a content change in a roadmap with 100,000 learners, while some of them are active.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use cairn_core::actor::{Caller, Origin, Role};
use cairn_core::clock::new_id;
use cairn_core::db::Db;
use cairn_core::learning::facts::complete;
use cairn_core::learning::lessons;
use cairn_core::learning::recompute;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::sleep;
use uuid::Uuid;

use crate::database::BenchDatabase;
use crate::measured::Measured;
use crate::worker::Worker;

const LEARNERS: i32 = 100_000;
/// Completions per second, at a steady rate regardless of their latency. Closer to the capacity of two cores they would wait for
/// each other even without a content change.
const RATE: u32 = 100;
/// How often the content changes.
const CHANGES: u32 = 5;
/// How long the baseline before each change is measured.
const CALM: Duration = Duration::from_secs(20);
/// How long learners are active before the first measurement.
const WARM_UP: Duration = Duration::from_secs(10);
/// For comparison, a thread that only computes uses about as much of a core as a recomputation does, in slices about as long as
/// its statements.
const COMPUTE_TIME: Duration = Duration::from_millis(2);
/// The pause between two slices.
const PAUSE_TIME: Duration = Duration::from_millis(5);
/// One in this many completions is watched until its rollup is stored.
const WATCH_EVERY: usize = 4;
/// How often the watched completions are polled.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

pub(crate) async fn run(database: &BenchDatabase) -> anyhow::Result<Vec<Measured>> {
    let pool = &database.admin;
    sqlx::query(SEED_CONTENT).execute(pool).await?;
    sqlx::raw_sql(SEED_LEARNERS).execute(pool).await?;
    let worker = Worker::start(database);
    let first = change(database, "UPDATE roadmaps SET publication = 'published'").await?;
    for statement in ["VACUUM ANALYZE", "CHECKPOINT"] {
        sqlx::raw_sql(statement).execute(pool).await?;
    }

    let learners = Arc::new(Learners::load(&database.db).await?);
    while_active(&learners, sleep(WARM_UP)).await?;
    let (mut calm, mut computing, mut changing, mut seconds) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..CHANGES {
        calm.push(while_active(&learners, sleep(CALM)).await?.1);
        computing.push(while_active(&learners, spawn_blocking(|| compute_for(CALM))).await?.1);
        let publication = if round % 2 == 0 { "published" } else { "draft" };
        let edit = format!("UPDATE lessons SET publication = '{publication}' WHERE position = 60");
        let (took, latencies) = Box::pin(while_active(&learners, change(database, &edit))).await?;
        seconds.push(took?);
        changing.push(latencies);
        // The dead rows of a change must not affect the next baseline.
        sqlx::raw_sql("VACUUM ANALYZE").execute(pool).await?;
    }
    worker.stop().await?;
    Ok(report(first, &seconds, &calm, &computing, &changing))
}

/// Keeps learners active while the future runs. Returns its result and their latencies.
async fn while_active<T>(learners: &Arc<Learners>, what: impl Future<Output = T>) -> anyhow::Result<(T, Latencies)> {
    let acting = ActiveLearners::begin(learners);
    let result = what.await;
    Ok((result, acting.end().await?))
}

/// Uses a part of one core, without using Postgres.
fn compute_for(long: Duration) {
    let started = Instant::now();
    while started.elapsed() < long {
        let piece = Instant::now();
        while piece.elapsed() < COMPUTE_TIME {
            std::hint::spin_loop();
        }
        std::thread::sleep(PAUSE_TIME);
    }
}

/// Changes the content and waits until all learners are recomputed. Returns how many seconds it took.
async fn change(database: &BenchDatabase, statement: &str) -> anyhow::Result<f64> {
    let started = Instant::now();
    let mut tx = database.db.begin().await?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut *tx).await?;
    recompute::enqueue_stale(&mut tx).await?;
    tx.commit().await?;
    while behind(database).await? {
        anyhow::ensure!(started.elapsed() < Duration::from_mins(10), "not recomputed within 600 s");
        sleep(Duration::from_millis(50)).await;
    }
    Ok(started.elapsed().as_secs_f64())
}

async fn behind(database: &BenchDatabase) -> anyhow::Result<bool> {
    let query = "SELECT EXISTS (SELECT FROM roadmaps WHERE recomputed_version < content_version)";
    Ok(sqlx::query_scalar(query).fetch_one(database.db.pool()).await?)
}

const SEED_CONTENT: &str = "
    WITH module AS (
        INSERT INTO course_modules (slug, title, publication) VALUES ('bench', 'Bench', 'published') RETURNING id
    ), lesson AS (
        INSERT INTO lessons (module_id, slug, title, duration_minutes, publication, position)
        SELECT m.id, 'bench-' || n, 'Lesson', 5, CASE WHEN n = 60 THEN 'draft' ELSE 'published' END::publication, n
        FROM module m, generate_series(1, 60) n
        RETURNING id, position
    ), roadmap AS (
        INSERT INTO roadmaps (slug, title, is_sequential) VALUES ('bench', 'Bench', true) RETURNING id
    ), stage AS (
        INSERT INTO stages (roadmap_id, slug, title, publication, position)
        SELECT r.id, 'stage-' || n, 'Stage', 'published', n FROM roadmap r, generate_series(0, 7) n
        RETURNING id, position
    )
    INSERT INTO stage_lessons (stage_id, lesson_id, position)
    SELECT s.id, l.id, l.position FROM lesson l JOIN stage s ON s.position = (l.position - 1) / 8";

/// Each learner has completed the first lessons: many learners a few, few learners many, 20 on average. Ids are in order of time,
/// as the application generates them. Triggers are disabled, because they would only take time.
const SEED_LEARNERS: &str = "
    BEGIN;
    SET LOCAL session_replication_role = replica;
    INSERT INTO users (id, email, first_name)
        SELECT ('0198c2f0-7a53-7cc1-9d2e-' || lpad(to_hex(n), 12, '0'))::uuid, 'bench' || n || '@example.test', 'Bench'
        FROM generate_series(1, 100000) n;
    INSERT INTO user_lesson_progress (user_id, lesson_id, status, completed_at)
        SELECT u.id, l.id, 'completed', now()
        FROM (SELECT id, row_number() OVER (ORDER BY id) % 60 AS n FROM users) u
        JOIN lessons l ON l.position <= 1 + u.n * u.n / 60;
    INSERT INTO progress_dirty (user_id, roadmap_id, requested_seq) SELECT u.id, r.id, 1 FROM users u, roadmaps r;
    COMMIT;
    ANALYZE";

/// The learners, each of whom completes their next lesson once.
struct Learners {
    db: Db,
    next: Vec<(Uuid, Uuid)>,
    begun: std::sync::atomic::AtomicUsize,
}

impl Learners {
    async fn load(db: &Db) -> anyhow::Result<Self> {
        let next = sqlx::query_as(
            "SELECT u.id, l.id
             FROM (SELECT user_id AS id, count(*) AS done FROM user_lesson_progress GROUP BY user_id) u
             JOIN lessons l ON l.position = u.done + 1 AND l.publication = 'published'
             ORDER BY md5(u.id::text)",
        );
        Ok(Self { next: next.fetch_all(db.pool()).await?, db: db.share(16), begun: 0.into() })
    }

    /// The next learner completes a lesson, as in a request. Returns the learner and the sequence number to wait for.
    async fn complete_next(&self) -> anyhow::Result<(Uuid, i64)> {
        let n = self.begun.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (user_id, lesson_id) = *self.next.get(n).context("all learners have acted")?;
        let caller = Caller { user_id, session_id: new_id(), role: Role::Student, origin: Origin::default() };
        let mut tx = self.db.begin_as(&caller).await?;
        let lesson = lessons::open(&mut tx, lesson_id).await?;
        let written = complete(&mut tx, &lesson).await?;
        tx.commit().await?;
        Ok((user_id, written.marks.first().context("the lesson stands in the roadmap")?.seq))
    }
}

/// A completion whose rollup is waited for.
struct Watched {
    user_id: Uuid,
    seq: i64,
    due: Instant,
}

/// Polls for all of them at once, so that polling does not become a load of its own when they take long. Ends when the sender is
/// dropped.
async fn wait_until_stored(db: Db, mut completions: mpsc::UnboundedReceiver<Watched>) -> anyhow::Result<Vec<f64>> {
    let (mut waiting, mut stored) = (Vec::new(), Vec::new());
    while completions.recv_many(&mut waiting, 1000).await > 0 {
        while !waiting.is_empty() {
            sleep(POLL_INTERVAL).await;
            while let Ok(watched) = completions.try_recv() {
                waiting.push(watched);
            }
            let (users, seqs): (Vec<Uuid>, Vec<i64>) =
                waiting.iter().map(|watched| (watched.user_id, watched.seq)).unzip();
            let done: Vec<Uuid> = sqlx::query_scalar(
                "SELECT w.user_id
                 FROM unnest($1::uuid[], $2::bigint[]) AS w (user_id, seq)
                 CROSS JOIN LATERAL (SELECT done_seq FROM progress_dirty WHERE user_id = w.user_id OFFSET 0) d
                 WHERE d.done_seq >= w.seq",
            )
            .bind(&users)
            .bind(&seqs)
            .fetch_all(db.pool())
            .await?;
            // Each learner completions once.
            let is_done = |watched: &mut Watched| done.contains(&watched.user_id);
            stored.extend(waiting.extract_if(.., is_done).map(|watched| watched.due.elapsed().as_secs_f64() * 1000.0));
        }
    }
    Ok(stored)
}

/// Latencies in milliseconds.
struct Latencies {
    /// From when a completion was due until it is committed.
    committed: Vec<f64>,
    /// From when a completion was due until its rollup is committed.
    stored: Vec<f64>,
}

/// Learners who are active at a steady rate until told to stop.
struct ActiveLearners {
    end: tokio_util::sync::CancellationToken,
    task: tokio::task::JoinHandle<anyhow::Result<Latencies>>,
}

impl ActiveLearners {
    fn begin(learners: &Arc<Learners>) -> Self {
        let end = tokio_util::sync::CancellationToken::new();
        Self { task: tokio::spawn(Self::run(learners.clone(), end.clone())), end }
    }

    async fn run(learners: Arc<Learners>, end: tokio_util::sync::CancellationToken) -> anyhow::Result<Latencies> {
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / RATE);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
        let (watch, watched) = mpsc::unbounded_channel();
        let watching = tokio::spawn(wait_until_stored(learners.db.clone(), watched));
        let mut completions: JoinSet<anyhow::Result<f64>> = JoinSet::new();
        for n in 0.. {
            let due = tokio::select! { due = ticks.tick() => due.into_std(), () = end.cancelled() => break };
            let (learners, watch) = (learners.clone(), watch.clone());
            completions.spawn(async move {
                let (user_id, seq) = learners.complete_next().await?;
                let committed = due.elapsed().as_secs_f64() * 1000.0;
                if n % WATCH_EVERY == 0 {
                    watch.send(Watched { user_id, seq, due })?;
                }
                Ok(committed)
            });
        }
        drop(watch);
        let mut committed = Vec::new();
        while let Some(completion) = completions.join_next().await {
            committed.push(completion.context("a completion did not finish")??);
        }
        Ok(Latencies { committed, stored: watching.await?? })
    }

    async fn end(self) -> anyhow::Result<Latencies> {
        self.end.cancel();
        self.task.await?
    }
}

fn report(
    first: f64,
    seconds: &[f64],
    calm: &[Latencies],
    computing: &[Latencies],
    changing: &[Latencies],
) -> Vec<Measured> {
    let slowest = seconds.iter().copied().fold(0.0, f64::max);
    let compare = |what: &str, target, rounds: &[Latencies], times: fn(&Latencies) -> &[f64]| {
        let before: Vec<f64> = calm.iter().map(|round| p99(times(round))).collect();
        let during: Vec<f64> = rounds.iter().map(|round| p99(times(round))).collect();
        let up = (median(&during) / median(&before) - 1.0) * 100.0;
        Measured::new(
            format!("{what} at {RATE}/s, p99"),
            format!("{:.1} -> {:.1} ms ({up:+.0} %)", median(&before), median(&during)),
            target,
            json!({ "before": before, "during": during }),
        )
    };
    vec![
        Measured::new(format!("first numbers of {LEARNERS} learners"), format!("{first:.1} s"), "", json!(first)),
        Measured::new(
            format!("content change, {LEARNERS} learners"),
            format!("{slowest:.1} s"),
            "<= 60 s (stretch 30)",
            json!(seconds),
        ),
        compare("completion meanwhile", "up <= 20 %", changing, |round| &round.committed),
        compare("completion beside a thread that only computes", "", computing, |round| &round.committed),
        compare("its rollup stored, amid the change", "", changing, |round| &round.stored),
    ]
}

fn p99(times: &[f64]) -> f64 {
    at(times, 99)
}

/// The median of the rounds, so that a round during which the machine was busy with something else does not count.
fn median(rounds: &[f64]) -> f64 {
    at(rounds, 50)
}

fn at(values: &[f64], part: usize) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get((values.len() * part / 100).min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}
