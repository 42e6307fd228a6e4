//! The state that all handlers share, such as the database with its clock and the token keys.

use std::sync::Arc;

use cairn_core::activity::Target;
use cairn_core::actor::{Caller, Origin};
use cairn_core::admin::metrics::Metrics;
use cairn_core::config::{RateLimits, Secret, TrustedProxies};
use cairn_core::db::{Db, Tx, UserTx, observer_pool};
use cairn_core::refusal::Rejected;
use cairn_core::settings::{Cache, Settings};
use cairn_core::users::attempts::{Attempt, Counters, Guess, TooEarly};
use cairn_core::users::passwords::Passwords;
use cairn_core::users::profile;
use cairn_core::users::tokens::Tokens;
use chrono::{DateTime, Utc};
use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use tokio_util::sync::CancellationToken;

use crate::Problem;
use crate::budget::Budgets;
use crate::metrics::HttpMetrics;
use crate::security::{SecurityEvent, SecurityEvents};
use crate::streams::{Limits, Streams};
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
    /// Counts attempts at passwords.
    pub attempts: Counters,
    /// How much each client may ask for.
    pub budgets: Budgets,
    /// The proxies that are believed about the addresses of clients.
    pub proxies: Arc<TrustedProxies>,
    /// Streams replies while they are being written.
    pub streams: Streams,
    /// The settings as this process knows them.
    pub settings: Arc<Cache>,
    /// The roadmaps that this process has read.
    pub(crate) trees: Arc<TreeCache>,
    /// The metrics of this service.
    pub metrics: Arc<Metrics>,
    pub(crate) http: HttpMetrics,
    pub(crate) security: SecurityEvents,
}

impl App {
    /// Creates the state for a database, with the key of the access tokens.
    pub fn new(db: Db, jwt_secret: &Secret) -> cairn_core::Result<Self> {
        let observer = observer_pool((*db.pool().connect_options()).clone());
        let metrics = Arc::new(Metrics::new(observer, vec![("requests", db.pool().clone())])?);
        let (passwords, attempts) = (Passwords::default(), Counters::new(jwt_secret));
        let budgets = Budgets::new(&RateLimits::default(), db.pool().options().get_max_connections());
        let (http, security) = (HttpMetrics::new(metrics.registry())?, SecurityEvents::new(metrics.registry())?);
        let streams = Streams::new(&db, Limits::default(), CancellationToken::new());
        let (settings, trees, proxies) = (Arc::default(), Arc::default(), Arc::default());
        let tokens = Tokens::new(jwt_secret);
        Ok(Self {
            db,
            tokens,
            passwords,
            attempts,
            budgets,
            proxies,
            streams,
            settings,
            trees,
            metrics,
            http,
            security,
        })
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

    /// Counts an attempt at a password, before the password is checked. Otherwise a problem, `too_many_requests`.
    pub(crate) async fn begin_attempt(&self, origin: &Origin, guess: Guess<'_>) -> Result<Attempt, Problem> {
        let mut tx = self.begin_for(origin).await?;
        match self.attempts.begin(&mut tx, guess).await {
            Ok(attempt) => {
                tx.commit().await?;
                Ok(attempt)
            }
            Err(Rejected::Refused(TooEarly { retry_after, is_address })) => {
                self.security.count(if is_address {
                    SecurityEvent::AddressAttemptRefused
                } else {
                    SecurityEvent::AccountAttemptRefused
                });
                Err(Problem::too_many_requests().retry_after(retry_after))
            }
            Err(Rejected::Failed(error)) => Err(error.into()),
        }
    }

    /// Checks the password of an attempt against the hash of an account, if there is one. Returns the attempt if it is right;
    /// `None` if it is wrong, which is recorded.
    pub(crate) async fn check_attempt(
        &self,
        origin: &Origin,
        attempt: Attempt,
        password: &str,
        account: Option<(&Target, Option<&str>)>,
    ) -> Result<Option<Attempt>, Problem> {
        match self.passwords.verify(password, account.and_then(|(_, hash)| hash)).await {
            Ok(true) => return Ok(Some(attempt)),
            Ok(false) => {}
            Err(error) => {
                attempt.undo(&mut *self.connection().await?, self.now()).await?;
                return Err(error.into());
            }
        }
        let account = account.map(|(account, _)| account);
        let mut tx = self.begin_for(origin).await?;
        let is_locked = attempt.fail(&mut tx, account)?;
        tx.commit().await?;
        let user_id = account.map(|account| account.id);
        self.security.note(SecurityEvent::SignInFailed, user_id, origin.ip);
        if is_locked {
            self.security.note(SecurityEvent::AccountLocked, user_id, origin.ip);
        }
        Ok(None)
    }

    /// Checks the caller's own password, as throttled as a sign-in is. Returns the hash that it matched. Otherwise a problem,
    /// `wrong_password`.
    pub(crate) async fn check_password(&self, caller: &Caller, password: &str) -> Result<Option<String>, Problem> {
        let found = profile::credentials(&mut *self.connection().await?, caller).await?;
        let (account, hash) = found.ok_or_else(Problem::unauthorized)?;
        let attempt = self.begin_attempt(&caller.origin, Guess::Own(caller.user_id)).await?;
        let checked = self.check_attempt(&caller.origin, attempt, password, Some((&account, hash.as_deref()))).await?;
        let attempt = checked.ok_or_else(Problem::wrong_password)?;
        attempt.succeed(&mut *self.connection().await?, self.now()).await?;
        Ok(hash)
    }
}
