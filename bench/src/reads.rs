//! Measures the tree of a roadmap over HTTP beside the cheapest read there is, `GET /v1/me`, in one run: the ratio says what
//! the tree itself costs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use cairn_core::clock::{Clock, new_id};
use cairn_core::config::Secret;
use cairn_core::users::tokens::{TokenSubject, Tokens};
use serde_json::json;
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio::time::sleep;
use uuid::Uuid;

use crate::api::{Api, JWT_SECRET};
use crate::database::BenchDatabase;
use crate::http::Connection;
use crate::measured::Measured;
use crate::worker::Worker;

const CONNECTIONS: usize = 32;
/// Half of them have completed half of the roadmap; the others have not begun.
const LEARNERS: usize = 1000;
/// How long each round lasts. Rounds of both reads take turns.
const ROUND: Duration = Duration::from_secs(5);
const ROUNDS: usize = 4;

pub(crate) async fn run(database: &BenchDatabase) -> anyhow::Result<Vec<Measured>> {
    let pool = database.db.pool();
    let roadmap: Uuid = sqlx::query_scalar(SEED_CONTENT).fetch_one(pool).await?;
    let tokens = Arc::new(learners(pool).await?);
    let worker = Worker::start(database);
    while sqlx::query_scalar("SELECT EXISTS (SELECT FROM progress_dirty WHERE done_seq < requested_seq)")
        .fetch_one(pool)
        .await?
    {
        sleep(Duration::from_millis(100)).await;
    }
    worker.stop().await?;
    for statement in ["VACUUM ANALYZE", "CHECKPOINT"] {
        sqlx::raw_sql(statement).execute(&database.admin).await?;
    }
    let api = Api::start(database).await?;
    let (tree, me) = (format!("/v1/roadmaps/{roadmap}"), "/v1/me".to_owned());
    round(&api, &tree, &tokens).await?;
    let (mut trees, mut others) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        trees.push(round(&api, &tree, &tokens).await?);
        others.push(round(&api, &me, &tokens).await?);
    }
    let (tree, me) = (Reads::of(&trees), Reads::of(&others));
    let ratio = tree.rate / me.rate;
    Ok(vec![
        tree.measured("tree of 60 lessons, 32 connections", ">= 5000/s, p99 <= 20 ms"),
        me.measured("GET /v1/me, 32 connections", ""),
        Measured::new("tree beside GET /v1/me", format!("{ratio:.2}"), ">= 0.40", json!(ratio)),
    ])
}

/// What reads took.
struct Reads {
    rate: f64,
    p50_ms: f64,
    p99_ms: f64,
}

impl Reads {
    fn of(rounds: &[Vec<Duration>]) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let seconds = ROUND.as_secs_f64() * rounds.len() as f64;
        let mut times = rounds.concat();
        times.sort_unstable();
        let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1000.0;
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let rate = times.len() as f64 / seconds;
        Self { rate, p50_ms: at(50), p99_ms: at(99) }
    }

    fn measured(&self, what: &str, target: &'static str) -> Measured {
        let Self { rate, p50_ms, p99_ms } = self;
        Measured::new(
            what,
            format!("{rate:.0}/s, p50 {p50_ms:.1}, p99 {p99_ms:.1} ms"),
            target,
            json!({ "per_second": rate, "p50_ms": p50_ms, "p99_ms": p99_ms }),
        )
    }
}

/// Reads on all connections for a round, each request for another learner. Returns how long each took.
async fn round(api: &Api, path: &str, tokens: &Arc<Vec<String>>) -> anyhow::Result<Vec<Duration>> {
    let mut connections = JoinSet::new();
    for n in 0..CONNECTIONS {
        let (mut connection, path, tokens) = (Connection::open(&api.address).await?, path.to_owned(), tokens.clone());
        connections.spawn(async move {
            let (begun, mut times) = (Instant::now(), Vec::new());
            while begun.elapsed() < ROUND {
                let started = Instant::now();
                let token = &tokens[(n * 31 + times.len()) % tokens.len()];
                ensure!(!connection.get(&path, token).await?.is_empty(), "an empty answer");
                times.push(started.elapsed());
            }
            Ok(times)
        });
    }
    let mut times = Vec::new();
    while let Some(done) = connections.join_next().await {
        times.extend(done??);
    }
    Ok(times)
}

/// Adds learners with sessions. Returns their access tokens.
async fn learners(pool: &PgPool) -> anyhow::Result<Vec<String>> {
    let (ids, sessions): (Vec<Uuid>, Vec<Uuid>) = (0..LEARNERS).map(|_| (new_id(), new_id())).unzip();
    for statement in [
        "INSERT INTO users (id, email, first_name) SELECT id, id || '@example.test', 'Bench'
         FROM unnest($1::uuid[], $2::uuid[]) AS t (id, session)",
        "INSERT INTO sessions (id, user_id, expires_at) SELECT session, id, now() + interval '1 day'
         FROM unnest($1::uuid[], $2::uuid[]) AS t (id, session)",
        "INSERT INTO user_lesson_progress (user_id, lesson_id, status, completed_at)
         SELECT u.id, l.id, 'completed', now()
         FROM (SELECT id, row_number() OVER () AS n, session FROM unnest($1::uuid[], $2::uuid[]) AS t (id, session)) u
         JOIN lessons l ON u.n % 2 = 0 AND l.position <= 30",
    ] {
        sqlx::query(statement).bind(&ids).bind(&sessions).execute(pool).await?;
    }
    let (keys, now) = (Tokens::new(&Secret::new(JWT_SECRET)), Clock::default().now());
    let subjects = ids.into_iter().zip(sessions).map(|(user_id, session_id)| TokenSubject { user_id, session_id });
    Ok(subjects.map(|subject| keys.issue(subject, now)).collect::<Result<_, _>>()?)
}

/// Six stages of ten lessons.
const SEED_CONTENT: &str = "
    WITH module AS (
        INSERT INTO course_modules (slug, title, publication) VALUES ('bench', 'Bench', 'published') RETURNING id
    ), lesson AS (
        INSERT INTO lessons (module_id, slug, title, summary, duration_minutes, publication, position)
        SELECT m.id, 'bench-' || n, 'A lesson with a title of usual length ' || n,
            'What it is about, in the sentence or two that a summary usually has, as people write them.', 5, 'published', n
        FROM module m, generate_series(1, 60) n
        RETURNING id, position
    ), roadmap AS (
        INSERT INTO roadmaps (slug, title, is_sequential, publication) VALUES ('bench', 'Bench', true, 'published')
        RETURNING id
    ), stage AS (
        INSERT INTO stages (roadmap_id, slug, title, publication, position)
        SELECT r.id, 'stage-' || n, 'Stage', 'published', n FROM roadmap r, generate_series(0, 5) n
        RETURNING id, position
    ), placed AS (
        INSERT INTO stage_lessons (stage_id, lesson_id, position)
        SELECT s.id, l.id, l.position FROM lesson l JOIN stage s ON s.position = (l.position - 1) / 10
    )
    SELECT id FROM roadmap";
