//! Runs the whole API in this process with a database of its own, and makes requests as different people.
//!
//! ```ignore
//! let app = TestApp::new().await;
//! let anna = app.student("anna").await;
//! let reply = anna.put("/v1/lessons/…/completion").await.expect(200);
//! assert_eq!(reply.json["status"], "completed");
//! anna.post("/v1/projects", json!({"title": 5})).invalid().await.problem("invalid_body");
//! app.run_jobs().await;
//! ```
//!
//! Every request and response is checked against the OpenAPI document ([`contract`]). When a test ends, no job may be
//! pending or dead, so a test must either run its jobs or call [`TestApp::leave_jobs`].

mod call;
pub(crate) mod contract;
mod coverage;
pub(crate) mod crud;
mod follow;
mod mailbox;
pub(crate) mod statements;
mod strict;

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use cairn_api::streams::{Limits, Streams};
use cairn_api::{App, Budgets};
use cairn_core::actor::Role;
use cairn_core::clock::new_id;
use cairn_core::config::{RateLimit, RateLimits, Secret};
use cairn_core::db::Db;
use cairn_core::users::passwords::Passwords;
use cairn_core::users::tokens::TokenSubject;
use cairn_postgres::testing::TestDatabase;
use cairn_server::host::Hosts;
use cairn_testing::database::migrated_database;
use cairn_testing::rows::add_person;
use chrono::TimeDelta;
use poem::endpoint::BoxEndpoint;
use poem::http::{HeaderValue, Method, header};
use poem::{Endpoint, EndpointExt, Request, Response};
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) use self::call::{Call, Reply};
pub(crate) use self::follow::{Event, Follow, Reading};
pub(crate) use self::mailbox::Mailbox;

/// The key of the access tokens in tests.
pub(crate) const JWT_SECRET: &str = "a key of tests, which guards nothing";
/// The origin that browsers may send requests from.
pub(crate) const ORIGIN: &str = "https://app.example.test";

/// The API under test. It is cheap to clone.
#[derive(Clone)]
pub(crate) struct TestApp(Arc<Inner>);

pub(crate) struct Inner {
    /// The state of the handlers, with the database, a clock that tests can set, and the token keys.
    pub(crate) app: App,
    endpoint: BoxEndpoint<'static, Response>,
    /// The operations that have succeeded.
    exercised: Mutex<BTreeSet<String>>,
    leaves_jobs: AtomicBool,
    /// `None` after the app is dropped.
    database: Option<TestDatabase>,
}

/// A signed-in person, whose requests carry their token.
#[derive(Clone)]
pub(crate) struct Actor {
    app: TestApp,
    /// The id of the user.
    pub(crate) id: Uuid,
    /// The id of the session.
    pub(crate) session_id: Uuid,
    /// The access token.
    pub(crate) token: String,
}

impl TestApp {
    /// Creates an API with an empty, migrated database.
    pub(crate) async fn new() -> Self {
        Self::on(migrated_database().await)
    }

    /// Creates an API on a database, which is dropped with it.
    pub(crate) fn on(database: TestDatabase) -> Self {
        let db = Db::connect(database.url(), database.url(), 8).unwrap();
        Self::over(Self::state(db), Some(database))
    }

    /// Creates an API on a database that stays.
    pub(crate) fn at(url: &str) -> Self {
        let db = Db::connect(url, url, 8).unwrap();
        Self::over(Self::state(db), None)
    }

    /// Creates another API on the same database, like another process. It must be dropped before this one.
    pub(crate) fn sibling(&self) -> Self {
        let db = Db::connect(self.url(), self.url(), 8).unwrap().with_clock(self.app.db.clock().clone());
        Self::over(Self::state(db), None)
    }

    /// The same with this maximum number of streams.
    pub(crate) fn limited(&self, limits: Limits) -> Self {
        let mut app = self.app.clone();
        app.streams = Streams::new(&app.db, limits, CancellationToken::new());
        Self::over(app, None)
    }

    /// The same with these budgets.
    pub(crate) fn budgeted(&self, limits: &RateLimits) -> Self {
        let mut app = self.app.clone();
        app.budgets = Budgets::new(limits, app.pool().options().get_max_connections());
        Self::over(app, None)
    }

    /// The same with other hashing threads, for which any number of requests may wait.
    pub(crate) fn hashing_with(&self, passwords: Passwords) -> Self {
        let mut app = self.app.clone();
        app.budgets = Budgets::new(&RateLimits::default(), 100);
        app.passwords = passwords;
        Self::over(app, None)
    }

    /// All tests share the hashing threads, and how busy these are must not decide whether a test passes. Nor must budgets in a
    /// test that is not about them.
    fn state(db: Db) -> App {
        let mut app = App::new(db, &Secret::new(JWT_SECRET)).unwrap();
        let any = RateLimit { per_second: 1_000_000, burst: 1_000_000_000, concurrent: 1000 };
        app.budgets = Budgets::new(&RateLimits { user: any, address: any }, app.pool().options().get_max_connections());
        app.passwords = Passwords::patient();
        app
    }

    fn over(app: App, database: Option<TestDatabase>) -> Self {
        Self::served_as(app, database, &[])
    }

    /// The same API, which can be asked under these names only.
    pub(crate) fn named(&self, hosts: &[&str]) -> Self {
        Self::served_as(self.app.clone(), None, &hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>())
    }

    fn served_as(app: App, database: Option<TestDatabase>, hosts: &[String]) -> Self {
        let endpoint = cairn_api::endpoint(&app, &[ORIGIN.to_owned()], Hosts::public(hosts));
        // As clients do. Tests that are about hosts send their own.
        let endpoint = endpoint.before(|mut request: Request| async move {
            request.headers_mut().entry(header::HOST).or_insert(HeaderValue::from_static("localhost"));
            Ok(request)
        });
        let endpoint = endpoint.boxed();
        let (exercised, leaves_jobs) = (Mutex::default(), AtomicBool::new(false));
        Self(Arc::new(Inner { app, endpoint, exercised, leaves_jobs, database }))
    }

    /// Creates and signs in a learner with that name.
    pub(crate) async fn student(&self, name: &str) -> Actor {
        self.person(name, Role::Student).await
    }

    /// Creates and signs in a mentor with that name.
    pub(crate) async fn mentor(&self, name: &str) -> Actor {
        self.person(name, Role::Mentor).await
    }

    /// Creates and signs in an admin with that name.
    pub(crate) async fn admin(&self, name: &str) -> Actor {
        self.person(name, Role::Admin).await
    }

    async fn person(&self, name: &str, role: Role) -> Actor {
        let id = add_person(self.app.pool(), name, role).await;
        self.session(id).await
    }

    /// Signs a user in.
    async fn session(&self, id: Uuid) -> Actor {
        let (session_id, now) = (new_id(), self.app.now());
        sqlx::query("INSERT INTO sessions (id, user_id, expires_at) VALUES ($1, $2, $3)")
            .bind(session_id)
            .bind(id)
            .bind(now + TimeDelta::days(30))
            .execute(self.app.pool())
            .await
            .unwrap();
        self.signed_in(id, session_id)
    }

    /// The user of a session, with an access token.
    pub(crate) fn signed_in(&self, id: Uuid, session_id: Uuid) -> Actor {
        let token = self.app.tokens.issue(TokenSubject { user_id: id, session_id }, self.app.now()).unwrap();
        Actor { app: self.clone(), id, session_id, token }
    }

    /// Sends a request that need not match the document.
    pub(crate) async fn raw(&self, request: Request) -> Response {
        self.endpoint.call(request).await.expect("the edge makes every error an answer")
    }

    /// A request without a token.
    pub(crate) fn call(&self, method: Method, path: &str) -> Call {
        Call::new(self.clone(), method, path)
    }

    /// GET without a token.
    pub(crate) fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    /// POST without a token.
    pub(crate) fn post(&self, path: &str, body: Value) -> Call {
        self.call(Method::POST, path).json(body)
    }

    /// Runs all due jobs, and the jobs that they enqueue. Returns how many ran.
    pub(crate) async fn run_jobs(&self) -> usize {
        cairn_worker::testing::run_jobs(&self.app.db).await.unwrap()
    }

    /// The same, with a hook that gets mails.
    pub(crate) async fn run_jobs_with_mail(&self, mailbox: &Mailbox) -> usize {
        cairn_worker::testing::run_jobs_with_mail(&self.app.db, &mailbox.config).await.unwrap()
    }

    /// Allows the test to end with pending or dead jobs.
    pub(crate) fn leave_jobs(&self) {
        self.leaves_jobs.store(true, Ordering::Relaxed);
    }

    /// The URL of the database, for connections outside the pool.
    pub(crate) fn url(&self) -> &str {
        self.database.as_ref().map(TestDatabase::url).unwrap_or_default()
    }

    /// A connection of a superuser, for what the programs may not do.
    pub(crate) async fn superuser(&self) -> PgConnection {
        PgConnection::connect(self.superuser_url()).await.unwrap()
    }

    /// The URL of a superuser.
    pub(crate) fn superuser_url(&self) -> &str {
        self.database.as_ref().unwrap().admin_url()
    }

    /// Runs a query that returns one number.
    pub(crate) async fn count(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(self.app.pool()).await.unwrap()
    }
}

impl Deref for TestApp {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Actor {
    /// The same person on another device.
    pub(crate) async fn another_session(&self) -> Self {
        self.app.session(self.id).await
    }

    /// The same person as a client of another API.
    pub(crate) fn at(&self, app: &TestApp) -> Self {
        Self { app: app.clone(), ..self.clone() }
    }

    /// A request with their token.
    pub(crate) fn call(&self, method: Method, path: &str) -> Call {
        self.app.call(method, path).header("Authorization", &format!("Bearer {}", self.token))
    }

    /// GET.
    pub(crate) fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    /// POST with a body.
    pub(crate) fn post(&self, path: &str, body: Value) -> Call {
        self.call(Method::POST, path).json(body)
    }

    /// PATCH with changes. Add the version with [`Call::header`].
    pub(crate) fn patch(&self, path: &str, changes: Value) -> Call {
        self.call(Method::PATCH, path).json(changes)
    }

    /// PUT without a body. Add one with [`Call::json`].
    pub(crate) fn put(&self, path: &str) -> Call {
        self.call(Method::PUT, path)
    }

    /// DELETE.
    pub(crate) fn delete(&self, path: &str) -> Call {
        self.call(Method::DELETE, path)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        coverage::append(&self.exercised.lock().unwrap());
        let Some(database) = self.database.take() else { return };
        let check = !std::thread::panicking() && !self.leaves_jobs.load(Ordering::Relaxed);
        let left = if check { left_over_jobs(database.url().to_owned()) } else { Vec::new() };
        // In a separate thread, because Postgres drops a database only when no client is in the middle of connecting,
        // and that client may be a task of the runtime that this thread drives.
        std::thread::spawn(|| drop(database));
        assert!(left.is_empty(), "the test left jobs behind: {left:?}; run them, or call leave_jobs()");
    }
}

/// The queues, states and numbers of jobs that are not done. Runs on a thread with a runtime of its own, because it is
/// called inside the test's runtime, which must not be blocked.
fn left_over_jobs(url: String) -> Vec<(String, String, i64)> {
    let query = async move {
        let mut connection = PgConnection::connect(&url).await.unwrap();
        sqlx::query_as(
            "SELECT job_type, status, count(*) FROM apalis.jobs WHERE status <> 'Done' GROUP BY 1, 2 ORDER BY 1, 2",
        )
        .fetch_all(&mut connection)
        .await
        .unwrap()
    };
    let counting = std::thread::spawn(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(query)
    });
    counting.join().unwrap()
}
