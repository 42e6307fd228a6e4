//! Gives each test a database of its own, a worker in this process, and ways to inspect jobs.

use std::collections::HashMap;
use std::time::Duration;

use cairn_core::activity::{Action, Event, RecordActivity, Verb};
use cairn_core::actor::Actor;
use cairn_core::clock::new_id;
use cairn_core::community::jobs::CountLikes;
use cairn_core::config::Config;
use cairn_core::db::{Db, OWNER};
use cairn_core::noun::Noun;
use cairn_postgres::testing::TestDatabase;
use cairn_testing::database::{lock_waiters, migrated_database};
use cairn_testing::rows::add_liked_projects;
use serde_json::Value;
use sqlx::{Connection, PgConnection, PgPool, Postgres, Transaction};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) struct Harness {
    pub(crate) db: Db,
    pub(crate) config: Config,
    database: Option<TestDatabase>,
}

impl Harness {
    pub(crate) async fn new() -> Self {
        let database = migrated_database().await;
        let url = database.url().to_owned();
        Self { database: Some(database), ..Self::on(&url) }
    }

    /// Creates a harness with this setting.
    pub(crate) async fn with(key: &str, value: &str) -> Self {
        let harness = Self::new().await;
        let url = harness.url();
        let values =
            [("DATABASE_URL", url.as_str()), (key, value)].map(|(key, value)| (key.to_owned(), value.to_owned()));
        Self { config: Config::from_values(&HashMap::from(values)).unwrap(), ..harness }
    }

    /// Creates a harness on a database that the caller owns.
    pub(crate) fn on(url: &str) -> Self {
        let config = Config::from_values(&HashMap::from([("DATABASE_URL".to_owned(), url.to_owned())])).unwrap();
        Self { db: Db::connect(url, url, 12).unwrap(), config, database: None }
    }

    pub(crate) fn url(&self) -> String {
        self.config.require_database_url().unwrap().expose().to_owned()
    }

    pub(crate) fn pool(&self) -> &PgPool {
        self.db.pool()
    }

    /// Changes the schema, as its owner.
    pub(crate) async fn alter(&self, statements: &'static str) {
        let mut owner = PgConnection::connect(&self.database().url_for(OWNER)).await.unwrap();
        sqlx::raw_sql(statements).execute(&mut owner).await.unwrap();
    }

    /// A connection of a superuser, for settings that only it may change.
    pub(crate) async fn superuser(&self) -> PgConnection {
        PgConnection::connect(self.database().admin_url()).await.unwrap()
    }

    fn database(&self) -> &TestDatabase {
        self.database.as_ref().unwrap()
    }

    /// Enqueues `n` valid events. Returns their ids.
    pub(crate) async fn enqueue_events(&self, n: usize) -> Vec<Uuid> {
        let mut tx = self.db.begin().await.unwrap();
        let mut ids = Vec::new();
        for _ in 0..n {
            let event = signed_in(tx.now());
            ids.push(event.id);
            tx.enqueue(&RecordActivity { event }).unwrap();
        }
        tx.commit().await.unwrap();
        ids
    }

    /// Enqueues an event that the table rejects.
    pub(crate) async fn enqueue_bad_event(&self) {
        let mut tx = self.db.begin().await.unwrap();
        let event = Event { action: "not an action".to_owned(), ..signed_in(tx.now()) };
        tx.enqueue(&RecordActivity { event }).unwrap();
        tx.commit().await.unwrap();
    }

    /// Inserts a job directly, bypassing the library.
    pub(crate) async fn insert_raw(&self, queue: &str, payload: &[u8]) -> String {
        let id = new_id().to_string();
        sqlx::query("INSERT INTO apalis.jobs (id, job_type, job, max_attempts) VALUES ($1, $2, $3, 3)")
            .bind(&id)
            .bind(queue)
            .bind(payload)
            .execute(self.pool())
            .await
            .unwrap();
        id
    }

    /// Creates published projects with one uncounted like each, and the jobs that will count them.
    pub(crate) async fn liked_projects(&self, n: usize) {
        let projects = add_liked_projects(self.pool(), n).await;
        let mut tx = self.db.begin().await.unwrap();
        for project_id in projects {
            tx.enqueue(&CountLikes { project_id }).unwrap();
        }
        tx.commit().await.unwrap();
    }

    /// The number of projects with uncounted likes.
    pub(crate) async fn marked_projects(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM likes_dirty").fetch_one(self.pool()).await.unwrap()
    }

    /// Prevents likes from being counted until the returned connection is dropped. Jobs that count them wait for a lock without
    /// the limit that jobs have for such waits, so that none of them ends before the test is ready for it.
    pub(crate) async fn hold_likes(&self) -> PgConnection {
        self.alter(
            "CREATE FUNCTION wait_until_likes_are_free() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS $$
             BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NEW; END $$;
             CREATE TRIGGER wait_until_likes_are_free BEFORE UPDATE ON showcase_projects
                 FOR EACH ROW EXECUTE FUNCTION wait_until_likes_are_free()",
        )
        .await;
        let mut connection = PgConnection::connect(&self.url()).await.unwrap();
        sqlx::raw_sql("SELECT pg_advisory_lock(1)").execute(&mut connection).await.unwrap();
        connection
    }

    /// Whether a session of this database is waiting for a lock. A job that has been claimed may not have started yet.
    pub(crate) async fn is_lock_awaited(&self) -> bool {
        lock_waiters(self.pool()).await > 0
    }

    /// The number of jobs of a queue with a status.
    pub(crate) async fn count(&self, queue: &str, status: &str) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM apalis.jobs WHERE job_type = $1 AND status = $2")
            .bind(queue)
            .bind(status)
            .fetch_one(self.pool())
            .await
            .unwrap()
    }

    /// The number of rows of the activity log.
    pub(crate) async fn logged(&self) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM activity_log").fetch_one(self.pool()).await.unwrap()
    }

    /// Starts a recount of likes that cannot end before the returned transaction does.
    pub(crate) async fn block_a_recount(&self) -> Transaction<'static, Postgres> {
        let project_id = add_liked_projects(self.pool(), 1).await[0];
        let mut holder = self.pool().begin().await.unwrap();
        sqlx::query("SELECT FROM showcase_projects FOR UPDATE").execute(&mut *holder).await.unwrap();
        let mut tx = self.db.begin().await.unwrap();
        tx.enqueue(&CountLikes { project_id }).unwrap();
        tx.commit().await.unwrap();
        holder
    }

    /// Starts a worker with its ops port.
    pub(crate) async fn serve(&self) -> (Worker, Ops) {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let (config, db, token) = (self.config.clone(), self.db.clone(), stop.clone());
        let running = async move { cairn_worker::serve(&config, db, listener, token).await.unwrap() };
        (Worker { stop, running: tokio::spawn(running) }, Ops { base, http: http_client() })
    }

    pub(crate) fn start(&self) -> Worker {
        let stop = CancellationToken::new();
        let (config, db, token) = (self.config.clone(), self.db.clone(), stop.clone());
        Worker { stop, running: tokio::spawn(async move { cairn_worker::run(&config, db, token).await.unwrap() }) }
    }
}

/// A worker that runs in this process.
pub(crate) struct Worker {
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Worker {
    pub(crate) fn begin_stop(&self) {
        self.stop.cancel();
    }

    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.running.await.unwrap();
    }
}

pub(crate) fn http_client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap()
}

/// The ops port of a worker.
pub(crate) struct Ops {
    base: String,
    http: reqwest::Client,
}

impl Ops {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Response {
        self.send("GET", path).await
    }

    pub(crate) async fn send(&self, method: &str, path: &str) -> reqwest::Response {
        let request = self.http.request(method.parse().unwrap(), self.url(path));
        request.send().await.unwrap()
    }

    pub(crate) async fn json(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        answer.json().await.unwrap()
    }

    /// The value of a sample, which is named with its labels; `None` if there is no such sample.
    pub(crate) async fn metric(&self, sample: &str) -> Option<f64> {
        let text = self.get("/metrics").await.text().await.unwrap();
        text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok())
    }

    /// The status code, the reason (or `ready`) and the state of the listener.
    pub(crate) async fn readiness(&self) -> (u16, String, String) {
        let answer = self.get("/health/ready").await;
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let reason = if body["status"] == "ready" { &body["status"] } else { &body["reason"] };
        (status, text(reason), text(&body["listener"]))
    }

    /// Whether the port is closed.
    pub(crate) async fn is_closed(&self) -> bool {
        self.http.get(&self.base).send().await.is_err_and(|error| error.is_connect())
    }
}

pub(crate) fn signed_in(at: chrono::DateTime<chrono::Utc>) -> Event {
    Action::new(Noun::User, Verb::SignedIn).into_event(&Actor::default(), at)
}
