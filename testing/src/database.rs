//! A migrated database for each test, and plain SQL on it.

use cairn_core::db::{Db, connect_options, migrate, schema_fingerprint};
use cairn_core::queue::{Envelope, Job};
use cairn_postgres::testing::{TestDatabase, test_database};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection, FromRow, PgConnection, PgPool};

use crate::eventually;

/// Creates a database with the current schema and no rows. It is dropped with the returned value.
pub async fn migrated_database() -> TestDatabase {
    let prepare = async |url: &str| migrate(&connect_options(url).unwrap()).await.map(drop);
    test_database(&schema_fingerprint(), prepare).await.unwrap()
}

/// A migrated database of its own and a pool of connections to it.
pub struct TestDb {
    /// The database as the programs use it.
    pub db: Db,
    database: TestDatabase,
}

impl TestDb {
    /// A database with a pool of 12 connections.
    pub async fn new() -> Self {
        Self::with_connections(12).await
    }

    /// A database with a larger pool, for tests that need many connections at once.
    pub async fn with_connections(max: u32) -> Self {
        let database = migrated_database().await;
        Self { db: Db::connect(database.url(), database.url(), max).unwrap(), database }
    }

    /// The pool.
    pub fn pool(&self) -> &PgPool {
        self.db.pool()
    }

    /// The URL of the database.
    pub fn url(&self) -> &str {
        self.database.url()
    }

    /// A connection outside the pool.
    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect(self.url()).await.unwrap()
    }
}

/// Runs statements, into which tests format ids.
pub async fn run(pool: &PgPool, statements: impl Into<String>) {
    let statements = statements.into();
    if let Err(error) = sqlx::raw_sql(AssertSqlSafe(statements.clone())).execute(pool).await {
        panic!("{error}\nin {statements}");
    }
}

/// The single value that a query returns.
pub async fn scalar<T>(pool: &PgPool, query: impl Into<String>) -> T
where
    T: Send + Unpin + for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    sqlx::query_scalar(AssertSqlSafe(query.into())).fetch_one(pool).await.unwrap()
}

/// All rows of a query.
pub async fn rows<T>(pool: &PgPool, query: impl Into<String>) -> Vec<T>
where
    T: Send + Unpin + for<'r> FromRow<'r, PgRow>,
{
    sqlx::query_as(AssertSqlSafe(query.into())).fetch_all(pool).await.unwrap()
}

/// The stored jobs of one kind, oldest first, whatever their state.
pub async fn jobs<J: Job>(pool: &PgPool) -> Vec<J> {
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
pub async fn until(pool: &PgPool, what: &str, query: impl Into<String>) {
    let query = query.into();
    eventually(what, async || scalar(pool, query.clone()).await).await;
}
