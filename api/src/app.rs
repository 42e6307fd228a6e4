//! What every handler has: the database with its clock, the token keys.

use std::sync::Arc;

use cairn_core::actor::{Caller, Origin};
use cairn_core::admin::metrics::Metrics;
use cairn_core::config::Secret;
use cairn_core::db::{Db, Tx, UserTx, observer_pool};
use cairn_core::settings::{Cache, Settings};
use cairn_core::users::passwords::Passwords;
use cairn_core::users::tokens::Tokens;
use chrono::{DateTime, Utc};
use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use tokio_util::sync::CancellationToken;

use crate::Problem;
use crate::metrics::HttpMetrics;
use crate::streams::{Limits, Streams};
use crate::throttle::Throttle;

/// The state of the API. Cheap to clone: every resource holds one.
#[derive(Clone, Debug)]
pub struct App {
    /// The database.
    pub db: Db,
    /// Keys of the access tokens.
    pub tokens: Tokens,
    /// Hashes passwords, a few at a time.
    pub passwords: Passwords,
    /// Slows down guessing.
    pub throttle: Throttle,
    /// Replies as they are written.
    pub streams: Streams,
    /// The settings as this process knows them.
    pub settings: Arc<Cache>,
    /// What this service shows of itself.
    pub metrics: Arc<Metrics>,
    pub(crate) http: HttpMetrics,
}

impl App {
    /// The state over a database, with the key of the access tokens.
    pub fn new(db: Db, jwt_secret: &Secret) -> cairn_core::Result<Self> {
        let observer = observer_pool((*db.pool().connect_options()).clone());
        let metrics = Arc::new(Metrics::new(observer, vec![("requests", db.pool().clone())])?);
        let (passwords, throttle) = (Passwords::default(), Throttle::default());
        let http = HttpMetrics::new(metrics.registry())?;
        let streams = Streams::new(&db, Limits::default(), CancellationToken::new());
        let settings = Arc::default();
        Ok(Self { db, tokens: Tokens::new(jwt_secret), passwords, throttle, streams, settings, metrics, http })
    }

    /// Begins a transaction; dropping it without a commit undoes it.
    ///
    /// For a request without a caller, such as a sign-in.
    pub async fn begin_for(&self, origin: &Origin) -> Result<Tx, Problem> {
        Ok(self.db.begin_for(origin.clone().into()).await?)
    }

    /// Begins a transaction of the caller; dropping it without a commit undoes it.
    pub async fn begin_as(&self, caller: &Caller) -> Result<UserTx, Problem> {
        Ok(self.db.begin_as(caller).await?)
    }

    /// A connection for reads of one statement, or of several that need not belong together.
    pub async fn connection(&self) -> Result<PoolConnection<Postgres>, Problem> {
        Ok(self.pool().acquire().await.map_err(cairn_core::Error::from)?)
    }

    /// A transaction for reads that take several statements and must belong together.
    pub async fn snapshot(&self) -> Result<Transaction<'static, Postgres>, Problem> {
        Ok(self.db.snapshot().await?)
    }

    /// All settings, at most a second old. Reads them on `connection` if they are older.
    pub async fn settings(&self, connection: &mut PgConnection) -> Result<Arc<Settings>, Problem> {
        Ok(self.settings.get(connection).await?)
    }

    /// The time.
    pub fn now(&self) -> DateTime<Utc> {
        self.db.clock().now()
    }

    /// The pool of connections.
    pub fn pool(&self) -> &PgPool {
        self.db.pool()
    }
}
