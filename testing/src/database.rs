//! A migrated database for each test, and plain SQL on it.

use cairn_core::db::{APPLICATION, Db, MigrateError, OWNER, Purpose, lazy_pool, schema_fingerprint, set_up};
use cairn_core::queue::{Envelope, Job};
use cairn_postgres::testing::{TestDatabase, test_database};
use cairn_postgres::{Server, role_url};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection, FromRow, PgConnection, PgPool};

use crate::eventually;

/// Creates a database with the current schema and no rows, whose URL is that of the application. It is dropped with the
/// returned value.
pub async fn migrated_database() -> TestDatabase {
    test_database(&schema_fingerprint(), set_up_empty).await.unwrap().used_by(APPLICATION)
}

/// Creates the roles and the schema in the empty database that a superuser's URL names.
pub async fn set_up_empty(url: &str) -> Result<(), MigrateError> {
    set_up(url, &role_url(url, OWNER), &role_url(url, APPLICATION)).await.map(drop)
}

/// Creates a database with the current schema on a server. Returns the URL of the application.
pub async fn set_up_on(server: &Server, name: &str) -> anyhow::Result<String> {
    server.create_database_if_missing(name).await?;
    set_up_empty(&server.url(name)).await?;
    Ok(role_url(&server.url(name), APPLICATION))
}

/// A migrated database of its own and a pool of connections to it.
pub struct TestDb {
    /// The database as the programs use it.
    pub db: Db,
    owner: PgPool,
    admin: PgPool,
    url: String,
    /// Dropped with this, unless the whole server is the test's own.
    _database: Option<TestDatabase>,
}

impl TestDb {
    /// A database with a pool of 12 connections.
    pub async fn new() -> Self {
        Self::with_connections(12).await
    }

    /// A database with a larger pool, for tests that need many connections at once.
    pub async fn with_connections(max: u32) -> Self {
        let database = migrated_database().await;
        let admin_url = database.admin_url().to_owned();
        Self { _database: Some(database), ..Self::of(&admin_url, max) }
    }

    /// A database on a server of the test's own, for what concerns all databases of a server.
    pub async fn on(server: &Server) -> Self {
        set_up_on(server, "cairn").await.unwrap();
        Self::of(&server.url("cairn"), 12)
    }

    fn of(admin_url: &str, max: u32) -> Self {
        let [url, owner] = [APPLICATION, OWNER].map(|role| role_url(admin_url, role));
        // Tests write rows by the thousand, with several others at the same time.
        let db = Db::connect(&url, &url, max).unwrap().for_purpose(Purpose::Maintenance);
        let [owner, admin] = [owner.as_str(), admin_url].map(|url| lazy_pool(url, 4, Purpose::Maintenance).unwrap());
        Self { db, owner, admin, url, _database: None }
    }

    /// The pool.
    pub fn pool(&self) -> &PgPool {
        self.db.pool()
    }

    /// A pool of the owner of the schema, for changes and statistics of tables.
    pub fn owner(&self) -> &PgPool {
        &self.owner
    }

    /// A pool of a superuser, for settings that only it may change.
    pub fn admin(&self) -> &PgPool {
        &self.admin
    }

    /// The URL of the database.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Writes rows without their triggers, as many as a test of plans needs: nothing that triggers keep is kept. The planner knows of
    /// them afterwards.
    pub async fn fill(&self, statements: &str) {
        let mut superuser = self.admin.acquire().await.unwrap().detach();
        let statements =
            format!("SET session_replication_role = replica; {statements}; RESET session_replication_role; ANALYZE");
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut superuser).await.unwrap();
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

/// How many sessions of this database wait for a lock. On the same server other tests have databases of their own.
pub async fn lock_waiters(pool: &PgPool) -> i64 {
    let query = "SELECT count(DISTINCT pid) FROM pg_locks JOIN pg_stat_activity USING (pid)
                 WHERE NOT granted AND datname = current_database()";
    scalar(pool, query).await
}

/// Waits until as many sessions of this database wait for a lock.
pub async fn until_waiting(pool: &PgPool, sessions: i64) {
    eventually(&format!("{sessions} sessions wait for a lock"), async || lock_waiters(pool).await >= sessions).await;
}

/// Ends the sessions that the application has in this database, but not the one that asks for it. Returns how many there were. Those
/// of others, such as autovacuum's, stay: only a superuser may end them.
pub async fn end_sessions(session: &mut PgConnection) -> i64 {
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
               WHERE datname = current_database() AND usename = $1 AND pid <> pg_backend_pid()";
    sqlx::query_scalar(end).bind(APPLICATION).fetch_one(session).await.unwrap()
}

/// Waits until `query` returns true.
pub async fn until(pool: &PgPool, what: &str, query: impl Into<String>) {
    let query = query.into();
    eventually(what, async || scalar(pool, query.clone()).await).await;
}
