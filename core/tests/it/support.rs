//! A separate database for each test, and functions that insert rows.

use std::time::Duration;

use cairn_core::clock::new_id;
use cairn_core::db::{Db, connect_options, migrate, schema_fingerprint};
use cairn_core::queue::{Envelope, Job};
use cairn_postgres::testing::{TestDatabase, test_database};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection, FromRow, PgConnection, PgPool};
use uuid::Uuid;

pub(crate) struct TestDb {
    pub(crate) db: Db,
    url: String,
    _database: TestDatabase,
}

impl TestDb {
    pub(crate) async fn new() -> Self {
        Self::with_connections(12).await
    }

    /// With a pool for tests that need many connections at once.
    pub(crate) async fn with_connections(max: u32) -> Self {
        let database = test_database(&schema_fingerprint(), async |url: &str| {
            migrate(&connect_options(url)?)
                .await
                .map(drop)
                .map_err(|error| cairn_core::Error::message(error.to_string()))
        })
        .await
        .unwrap();
        let url = database.url().to_owned();
        Self { db: Db::connect(&url, &url, max).unwrap(), url, _database: database }
    }

    pub(crate) fn pool(&self) -> &PgPool {
        self.db.pool()
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A connection outside the pool.
    pub(crate) async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }
}

/// Runs statements, into which tests format ids.
pub(crate) async fn run(pool: &PgPool, statements: impl Into<String>) {
    let statements = statements.into();
    if let Err(error) = sqlx::raw_sql(AssertSqlSafe(statements.clone())).execute(pool).await {
        panic!("{error}\nin {statements}");
    }
}

/// The single value that a query returns.
pub(crate) async fn scalar<T>(pool: &PgPool, query: impl Into<String>) -> T
where
    T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    sqlx::query_scalar(AssertSqlSafe(query.into())).fetch_one(pool).await.unwrap()
}

/// All rows of a query.
pub(crate) async fn rows<T>(pool: &PgPool, query: impl Into<String>) -> Vec<T>
where
    T: Send + Unpin + for<'r> FromRow<'r, PgRow>,
{
    sqlx::query_as(AssertSqlSafe(query.into())).fetch_all(pool).await.unwrap()
}

/// Adds a learner.
pub(crate) async fn add_user(pool: &PgPool) -> Uuid {
    let id = new_id();
    sqlx::query("INSERT INTO users (id, email, first_name) VALUES ($1, $2, 'Learner')")
        .bind(id)
        .bind(format!("{id}@example.test"))
        .execute(pool)
        .await
        .unwrap();
    id
}

/// Adds a published module.
pub(crate) async fn add_module(pool: &PgPool) -> Uuid {
    let id = new_id();
    run(
        pool,
        format!(
            "INSERT INTO course_modules (id, slug, title, publication) VALUES ('{id}', '{id}', 'Module', 'published')"
        ),
    )
    .await;
    id
}

/// Adds a published lesson.
pub(crate) async fn add_lesson(pool: &PgPool, module: Uuid) -> Uuid {
    let id = new_id();
    let columns = "id, module_id, slug, title, duration_minutes, publication";
    run(pool, format!("INSERT INTO lessons ({columns}) VALUES ('{id}', '{module}', '{id}', 'Lesson', 5, 'published')"))
        .await;
    id
}

/// Adds a published roadmap that is not sequential.
pub(crate) async fn add_roadmap(pool: &PgPool) -> Uuid {
    let id = new_id();
    run(
        pool,
        format!("INSERT INTO roadmaps (id, slug, title, publication) VALUES ('{id}', '{id}', 'Roadmap', 'published')"),
    )
    .await;
    id
}

/// Adds a published stage with required lessons at the end of the roadmap.
pub(crate) async fn add_stage(pool: &PgPool, roadmap: Uuid, lessons: &[Uuid]) -> Uuid {
    let id = new_id();
    run(
        pool,
        format!(
            "INSERT INTO stages (id, roadmap_id, slug, title, publication, position)
             SELECT '{id}', '{roadmap}', '{id}', 'Stage', 'published', count(*) FROM stages WHERE roadmap_id = '{roadmap}'"
        ),
    )
    .await;
    for lesson in lessons {
        link(pool, id, *lesson).await;
    }
    id
}

/// Adds a required lesson to a stage.
pub(crate) async fn link(pool: &PgPool, stage: Uuid, lesson: Uuid) {
    run(pool, format!("INSERT INTO stage_lessons (stage_id, lesson_id) VALUES ('{stage}', '{lesson}')")).await;
}

/// Completes a lesson as the API does, but without enqueueing a job.
pub(crate) async fn complete(pool: &PgPool, user: Uuid, lesson: Uuid) {
    run(pool, complete_statement(user, lesson)).await;
}

pub(crate) fn complete_statement(user: Uuid, lesson: Uuid) -> String {
    format!(
        "INSERT INTO user_lesson_progress AS p (user_id, lesson_id, status, completed_at)
         VALUES ('{user}', '{lesson}', 'completed', now())
         ON CONFLICT (user_id, lesson_id) DO UPDATE SET status = 'completed', completed_at = now()
             WHERE p.status <> 'completed'"
    )
}

/// The stored jobs of one kind, oldest first, whatever their state.
pub(crate) async fn jobs<J: Job>(pool: &PgPool) -> Vec<J> {
    let payloads: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT job FROM apalis.jobs WHERE job_type = $1 ORDER BY run_at, id")
            .bind(J::QUEUE.name())
            .fetch_all(pool)
            .await
            .unwrap();
    let of_kind = |payload: &Vec<u8>| {
        let envelope: Envelope<serde_json::Value> = serde_json::from_slice(payload).unwrap();
        (envelope.kind == J::KIND).then(|| serde_json::from_value(envelope.data).unwrap())
    };
    payloads.iter().filter_map(of_kind).collect()
}

/// Waits until `query` returns true.
pub(crate) async fn until(pool: &PgPool, what: &str, query: impl Into<String>) {
    let query = query.into();
    for _ in 0..3000 {
        if scalar(pool, query.clone()).await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("this never happened: {what}");
}
