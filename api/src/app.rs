//! The state that all handlers share, such as the database with its clock and the token keys.

use std::sync::Arc;

use cairn_core::activity::{Action, Target};
use cairn_core::actor::{Caller, Origin};
use cairn_core::admin::metrics::Metrics;
use cairn_core::config::{RateLimits, Secret, TrustedProxies};
use cairn_core::db::{Db, Tx, UserTx, observer_pool};
use cairn_core::noun::Noun;
use cairn_core::refusal::Rejected;
use cairn_core::settings::{Cache, Settings};
use cairn_core::users::attempts::{Attempt, Counters, Guess, TooEarly};
use cairn_core::users::passwords::{Passwords, Verdict};
use cairn_core::users::profile::{self, OwnCredentials};
use cairn_core::users::tokens::Tokens;
use cairn_server::{Limits, Server};
use chrono::{DateTime, Utc};
use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::Problem;
use crate::budget::Budgets;
use crate::metrics::HttpMetrics;
use crate::security::{SecurityEvent, SecurityEvents};
use crate::streams::{self, Streams};
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
    /// The server of the API.
    pub server: Server,
    /// For how long browsers are told to use TLS only, in seconds. 0 for not at all.
    pub hsts_seconds: u32,
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
        let streams = Streams::new(&db, streams::Limits::default(), CancellationToken::new());
        let (settings, trees, proxies) = (Arc::default(), Arc::default(), Arc::default());
        let (server, tokens) = (Server::new("api", Limits::default()), Tokens::new(jwt_secret));
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
            server,
            hsts_seconds: 0,
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

    /// Counts an event, and writes it to the log and, as `action`, to the activity log. Nothing is answered if that fails, so
    /// nobody reads what is private without a trace.
    pub(crate) async fn record_access(
        &self,
        caller: &Caller,
        event: SecurityEvent,
        action: Action,
    ) -> Result<(), Problem> {
        self.security.note(event, Some(caller.user_id), caller.origin.ip);
        let mut tx = self.begin_as(caller).await?;
        tx.record(action)?;
        Ok(tx.commit().await?)
    }

    /// Counts a call that the caller's role does not allow, writes it to the log and, if it is the first in a while, to the
    /// activity log.
    pub(crate) async fn record_refusal(&self, caller: &Caller, action: Action) -> Result<(), Problem> {
        if self.security.is_first_refusal(caller.user_id, self.now()) {
            return self.record_access(caller, SecurityEvent::Forbidden, action).await;
        }
        self.security.note(SecurityEvent::Forbidden, Some(caller.user_id), caller.origin.ip);
        Ok(())
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

    /// Checks the password of an attempt against the hash of an account, if there is one. Returns the attempt if it is right,
    /// and what is to be said of the hash; `None` if it is wrong, which is recorded.
    pub(crate) async fn check_attempt(
        &self,
        origin: &Origin,
        attempt: Attempt,
        password: &str,
        account: Option<(&Target, Option<&str>)>,
    ) -> Result<Option<(Attempt, Verdict)>, Problem> {
        let user_id = account.map(|(account, _)| account.id);
        match self.verify_password(user_id, password, account.and_then(|(_, hash)| hash)).await {
            Ok(verdict) if verdict.is_match() => return Ok(Some((attempt, verdict))),
            Ok(_) => {}
            Err(problem) => {
                attempt.undo(&mut *self.connection().await?, self.now()).await?;
                return Err(problem);
            }
        }
        let mut tx = self.begin_for(origin).await?;
        let is_locked = attempt.fail(&mut tx, account.map(|(account, _)| account))?;
        tx.commit().await?;
        self.security.note(SecurityEvent::SignInFailed, user_id, origin.ip);
        if is_locked {
            self.security.note(SecurityEvent::AccountLocked, user_id, origin.ip);
        }
        Ok(None)
    }

    /// Checks the caller's own password, as throttled as a sign-in is. Returns the hash that it matched, and whose it is.
    /// Otherwise a problem, `wrong_password`.
    pub(crate) async fn check_password(&self, caller: &Caller, password: &str) -> Result<OwnCredentials, Problem> {
        let found = profile::credentials(&mut *self.connection().await?, caller).await?;
        let found = found.ok_or_else(Problem::unauthorized)?;
        let account = Target::new(Noun::User, caller.user_id, &found.person.name());
        let attempt = self.begin_attempt(&caller.origin, Guess::Own(caller.user_id)).await?;
        let account = Some((&account, found.password_hash.as_deref()));
        let checked = self.check_attempt(&caller.origin, attempt, password, account).await?;
        let (attempt, _) = checked.ok_or_else(Problem::wrong_password)?;
        attempt.succeed(&mut *self.connection().await?, self.now()).await?;
        Ok(found)
    }

    /// Whether a password matches the stored hash of a user. An unreadable hash matches nothing, and is logged, because only an
    /// operator can do something about it.
    pub(crate) async fn verify_password(
        &self,
        user_id: Option<Uuid>,
        password: &str,
        hash: Option<&str>,
    ) -> Result<Verdict, Problem> {
        let verdict = self.passwords.verify(password, hash).await?;
        if let (Verdict::Unreadable, Some(user_id)) = (verdict, user_id) {
            tracing::warn!(user.id = %user_id,
                "the stored password hash cannot be read, so the user cannot sign in; create a reset link for them");
        }
        Ok(verdict)
    }
}
