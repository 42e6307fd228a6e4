//! The state that all handlers share, such as the database with its clock and the token keys.

use std::sync::Arc;

use cairn_core::actor::{Caller, Origin};
use cairn_core::admin::metrics::Metrics;
use cairn_core::config::Secret;
use cairn_core::db::{Db, Tx, UserTx, observer_pool};
use cairn_core::settings::{Cache, Settings};
use cairn_core::users::passwords::Passwords;
use cairn_core::users::profile;
use cairn_core::users::tokens::Tokens;
use chrono::{DateTime, Utc};
use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use tokio_util::sync::CancellationToken;

use crate::Problem;
use crate::metrics::HttpMetrics;
use crate::streams::{Limits, Streams};
use crate::throttle::Throttle;
use crate::trees::TreeCache;

/// The state of the API. It is cheap to clone, and every resource holds one.
#[derive(Clone, Debug)]
pub struct App {
    /// The database.
    pub db: Db,
    /// Keys of the access tokens.
    pub tokens: Tokens,
    /// Hashes passwords, a few at a time.
    pub passwords: Passwords,
    /// Limits password guessing.
    pub throttle: Throttle,
    /// Streams replies while they are being written.
    pub streams: Streams,
    /// The settings as this process knows them.
    pub settings: Arc<Cache>,
    /// The roadmaps that this process has read.
    pub(crate) trees: Arc<TreeCache>,
    /// For how long browsers are told to use TLS only, in seconds. 0 for not at all.
    pub hsts_seconds: u32,
    /// The metrics of this service.
    pub metrics: Arc<Metrics>,
    pub(crate) http: HttpMetrics,
}

impl App {
    /// Creates the state for a database, with the key of the access tokens.
    pub fn new(db: Db, jwt_secret: &Secret) -> cairn_core::Result<Self> {
        let observer = observer_pool((*db.pool().connect_options()).clone());
        let metrics = Arc::new(Metrics::new(observer, vec![("requests", db.pool().clone())])?);
        let (passwords, throttle) = (Passwords::default(), Throttle::default());
        let http = HttpMetrics::new(metrics.registry())?;
        let streams = Streams::new(&db, Limits::default(), CancellationToken::new());
        let (settings, trees) = (Arc::default(), Arc::default());
        let tokens = Tokens::new(jwt_secret);
        Ok(Self { db, tokens, passwords, throttle, streams, settings, trees, hsts_seconds: 0, metrics, http })
    }

    /// Begins a transaction for a request without a caller, such as a sign-in. Dropping it without a commit rolls it
    /// back.
    pub async fn begin_for(&self, origin: &Origin) -> Result<Tx, Problem> {
        Ok(self.db.begin_for(origin.clone().into()).await?)
    }

    /// Begins a transaction on behalf of the caller. Dropping it without a commit rolls it back.
    pub async fn begin_as(&self, caller: &Caller) -> Result<UserTx, Problem> {
        Ok(self.db.begin_as(caller).await?)
    }

    /// A connection for a read with one statement, or with several that need not be consistent with each other.
    pub async fn connection(&self) -> Result<PoolConnection<Postgres>, Problem> {
        Ok(self.pool().acquire().await.map_err(cairn_core::Error::from)?)
    }

    /// A transaction for a read with several statements that must be consistent with each other.
    pub async fn snapshot(&self) -> Result<Transaction<'static, Postgres>, Problem> {
        Ok(self.db.snapshot().await?)
    }

    /// All settings, at most a second old. Reads them on `connection` if they are older.
    pub async fn settings(&self, connection: &mut PgConnection) -> Result<Arc<Settings>, Problem> {
        Ok(self.settings.get(connection).await?)
    }

    /// The current time, by the application's clock.
    pub fn now(&self) -> DateTime<Utc> {
        self.db.clock().now()
    }

    /// The pool of connections.
    pub fn pool(&self) -> &PgPool {
        self.db.pool()
    }

    /// Checks the caller's own password, as throttled as a sign-in is. Returns the hash that it matched. Otherwise a problem,
    /// `wrong_password`.
    pub(crate) async fn check_password(&self, caller: &Caller, password: &str) -> Result<Option<String>, Problem> {
        let found = profile::credentials(&mut *self.connection().await?, caller).await?;
        let (email, hash) = found.ok_or_else(Problem::unauthorized)?;
        let attempts = self.throttle.attempts(caller.origin.ip, &email);
        self.throttle.count(attempts, self.now())?;
        if !self.passwords.verify(password, hash.as_deref()).await? {
            return Err(Problem::wrong_password());
        }
        self.throttle.forget(attempts);
        Ok(hash)
    }
}
