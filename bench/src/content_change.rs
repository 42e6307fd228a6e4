//! A lesson is published in a roadmap with 100,000 learners, while some of them go on learning.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use cairn_core::clock::{Clock, new_id};
use cairn_core::db::Db;
use cairn_core::learning::facts::{Completion, complete};
use cairn_core::learning::lessons::{self, Access};
use cairn_core::learning::recompute;
use cairn_core::users::{Caller, Origin, Role};
use serde_json::json;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::Place;
use crate::measured::Measured;
use crate::worker::Worker;

const LEARNERS: i32 = 100_000;
/// Completions a second, at a steady rate whatever their latency.
const RATE: u32 = 200;
/// How often the content changes, and how long learners act before each change.
const CHANGES: u32 = 4;
const CALM: Duration = Duration::from_secs(15);
/// Every so many completions are watched until their rollup is stored.
const WATCHED: usize = 4;

pub(crate) async fn run(place: &Place) -> anyhow::Result<Vec<Measured>> {
    let pool = place.db.pool();
    sqlx::query(SEED_CONTENT).execute(pool).await?;
    sqlx::raw_sql(SEED_LEARNERS).execute(pool).await?;
    let worker = Worker::start(place);
    let first = change(place, "UPDATE roadmaps SET publication = 'published'").await?;
    for statement in ["VACUUM ANALYZE", "CHECKPOINT"] {
        sqlx::raw_sql(statement).execute(pool).await?;
    }

    let learners = Arc::new(Learners::load(&place.db).await?);
    let (mut calm, mut changing, mut seconds) = (Latencies::default(), Latencies::default(), Vec::new());
    for round in 0..CHANGES {
        let acting = Acting::begin(&learners);
        tokio::time::sleep(CALM).await;
        calm.add(acting.end().await?);
        let acting = Acting::begin(&learners);
        let publication = if round % 2 == 0 { "published" } else { "draft" };
        let edit = format!("UPDATE lessons SET publication = '{publication}' WHERE position = 60");
        seconds.push(change(place, &edit).await?);
        changing.add(acting.end().await?);
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    worker.stop().await?;
    Ok(report(first, &seconds, calm, changing))
}

/// Changes the content and waits until everybody is recomputed. Returns how many seconds that took.
async fn change(place: &Place, statement: &str) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let mut tx = place.db.begin().await?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut *tx).await?;
    recompute::enqueue_stale(&mut tx).await?;
    tx.commit().await?;
    while behind(place).await? {
        anyhow::ensure!(begun.elapsed() < Duration::from_mins(10), "not recomputed within 600 s");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(begun.elapsed().as_secs_f64())
}

async fn behind(place: &Place) -> anyhow::Result<bool> {
    let query = "SELECT EXISTS (SELECT FROM roadmaps WHERE recomputed_version < content_version)";
    Ok(sqlx::query_scalar(query).fetch_one(place.db.pool()).await?)
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

/// Each learner did the first lessons: many a few, few many, 20 on average. Ids are in the order of time, as the application
/// gives them. Written as a replica writes it, without triggers, which would only take longer.
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

/// Who acts, each once: with the lesson that is next for them.
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

    /// Somebody completes a lesson, as a request does it. Returns who, and the sequence number to wait for.
    async fn act(&self) -> anyhow::Result<(Uuid, i64)> {
        let n = self.begun.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let (user_id, lesson_id) = *self.next.get(n).context("everybody has acted")?;
        let caller = Caller { user_id, session_id: new_id(), role: Role::Student, origin: Origin::default() };
        let mut tx = self.db.begin().await?;
        let Access::Open(lesson) = lessons::open(&mut tx, &caller, lesson_id).await? else {
            anyhow::bail!("the next lesson is not open");
        };
        let Completion::Done(written) = complete(&mut tx, &Clock::default(), &lesson).await? else {
            anyhow::bail!("the lesson has no tasks");
        };
        tx.commit().await?;
        Ok((user_id, written.marks.first().context("the lesson stands in the roadmap")?.seq))
    }

    async fn wait_until_stored(&self, user_id: Uuid, seq: i64) -> anyhow::Result<()> {
        let query = "SELECT done_seq >= $2 FROM progress_dirty WHERE user_id = $1";
        while !sqlx::query_scalar::<_, bool>(query).bind(user_id).bind(seq).fetch_one(self.db.pool()).await? {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }
}

/// In milliseconds.
#[derive(Default)]
struct Latencies {
    /// From when it was to begin until it is committed.
    committed: Vec<f64>,
    /// Until its rollup is.
    stored: Vec<f64>,
}

impl Latencies {
    fn add(&mut self, other: Self) {
        self.committed.extend(other.committed);
        self.stored.extend(other.stored);
    }
}

/// Learners who act at a steady rate until told to end.
struct Acting {
    end: tokio_util::sync::CancellationToken,
    task: tokio::task::JoinHandle<anyhow::Result<Latencies>>,
}

impl Acting {
    fn begin(learners: &Arc<Learners>) -> Self {
        let end = tokio_util::sync::CancellationToken::new();
        Self { task: tokio::spawn(Self::act(learners.clone(), end.clone())), end }
    }

    async fn act(learners: Arc<Learners>, end: tokio_util::sync::CancellationToken) -> anyhow::Result<Latencies> {
        let mut ticks = tokio::time::interval(Duration::from_secs(1) / RATE);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
        let mut acts: JoinSet<anyhow::Result<(f64, Option<f64>)>> = JoinSet::new();
        for n in 0.. {
            let due = tokio::select! { due = ticks.tick() => due, () = end.cancelled() => break };
            let learners = learners.clone();
            acts.spawn(async move {
                let (user_id, seq) = learners.act().await?;
                let committed = due.elapsed().as_secs_f64() * 1000.0;
                if n % WATCHED != 0 {
                    return Ok((committed, None));
                }
                learners.wait_until_stored(user_id, seq).await?;
                Ok((committed, Some(due.elapsed().as_secs_f64() * 1000.0)))
            });
        }
        let mut latencies = Latencies::default();
        while let Some(act) = acts.join_next().await {
            let (committed, stored) = act.context("an act ended early")??;
            latencies.committed.push(committed);
            latencies.stored.extend(stored);
        }
        Ok(latencies)
    }

    async fn end(self) -> anyhow::Result<Latencies> {
        self.end.cancel();
        self.task.await?
    }
}

fn report(first: f64, seconds: &[f64], calm: Latencies, changing: Latencies) -> Vec<Measured> {
    let slowest = seconds.iter().copied().fold(0.0, f64::max);
    let compare = |what: &str, bar, before: Vec<f64>, during: Vec<f64>| {
        let (before, during) = (percentiles(before), percentiles(during));
        let up = (during.1 / before.1 - 1.0) * 100.0;
        Measured::new(
            format!("{what} at {RATE}/s, p99"),
            format!("{:.1} -> {:.1} ms ({up:+.0} %)", before.1, during.1),
            bar,
            json!({ "before_p50": before.0, "before_p99": before.1, "during_p50": during.0, "during_p99": during.1 }),
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
        compare("completion meanwhile", "up <= 20 %", calm.committed, changing.committed),
        compare("its rollup stored", "", calm.stored, changing.stored),
    ]
}

/// The 50th and the 99th.
fn percentiles(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |part: usize| values.get((values.len() * part / 100).min(values.len().saturating_sub(1))).copied();
    (at(50).unwrap_or(f64::NAN), at(99).unwrap_or(f64::NAN))
}
