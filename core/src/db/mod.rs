//! The database: pools, transactions that carry jobs, migrations.

mod tx;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgPool, Postgres, Transaction};

pub use self::tx::{Tx, UserTx};
use crate::Result;
use crate::actor::{Actor, Caller};
use crate::clock::Clock;
use crate::queue::Notifier;
pub use cairn_migrations::{MigrateError, Migrations, migrate, migrations, schema_fingerprint};

/// A pool of connections, and the notifier that tells workers about committed jobs. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    pool: PgPool,
    direct: PgConnectOptions,
    notifier: Notifier,
    clock: Clock,
}

/// Without the options, which hold a password.
impl fmt::Debug for Db {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Db").field("pool", &self.pool).finish_non_exhaustive()
    }
}

impl Db {
    /// Opens a pool of at most `max_connections` on `url`, and the notifier on `direct_url` (a session connection: not
    /// through a pooler in transaction mode). Connects lazily, so it succeeds while the database is down.
    pub fn connect(url: &str, direct_url: &str, max_connections: u32) -> Result<Self> {
        let direct = connect_options(direct_url)?;
        Ok(Self {
            pool: lazy_pool(url, max_connections)?,
            notifier: Notifier::start(direct.clone()),
            direct,
            clock: Clock::default(),
        })
    }

    /// The same database and notifier with at most so many connections of its own: a share that others cannot use up, and
    /// that takes nothing from them.
    #[must_use]
    pub fn share(&self, max_connections: u32) -> Self {
        let options = self.pool.connect_options();
        let pool = pool_options(max_connections).connect_lazy_with((*options).clone());
        Self { pool, direct: self.direct.clone(), notifier: self.notifier.clone(), clock: self.clock.clone() }
    }

    /// The pool, for statements that need no transaction.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// How to open a session connection: one that is ours alone while it is open, for LISTEN.
    pub fn direct_options(&self) -> PgConnectOptions {
        self.direct.clone()
    }

    /// Tells workers that jobs wait, for rows written without a [`Tx`].
    pub fn notifier(&self) -> &Notifier {
        &self.notifier
    }

    /// The same database by another clock: that of another process in one test.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// The clock of this process.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Begins a transaction of the platform itself. Dropping it without [`Tx::commit`] rolls everything back, its jobs
    /// included.
    pub async fn begin(&self) -> Result<Tx> {
        self.begin_for(Actor::default()).await
    }

    /// Begins a transaction of a signed-in user.
    pub async fn begin_as(&self, caller: &Caller) -> Result<UserTx> {
        Ok(UserTx::new(self.begin_for(caller.into()).await?, caller.clone()))
    }

    /// Begins a transaction of somebody of whom no more than this is known.
    pub async fn begin_for(&self, actor: Actor) -> Result<Tx> {
        Ok(Tx::new(self.open("BEGIN").await?, self.notifier.clone(), actor, self.clock.clone()))
    }

    /// Begins a transaction that sees the database as it was at its first statement and only reads: for answers that take
    /// several statements and must not mix what was with what is.
    pub async fn snapshot(&self) -> Result<Transaction<'static, Postgres>> {
        self.open("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await
    }

    /// Connections that were cut while they lay in the pool show it here and are passed over: nothing has been done on
    /// them yet, so trying the next one is safe.
    async fn open(&self, begin: &'static str) -> Result<Transaction<'static, Postgres>> {
        let mut stale = 0;
        loop {
            match self.pool.begin_with(begin).await {
                Ok(transaction) => return Ok(transaction),
                Err(error) if is_stale(&error) && stale < self.pool.options().get_max_connections() => stale += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Closes the pool: waits for connections in use.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Whether a connection was cut by the server or on the way, as opposed to none being had.
fn is_stale(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() != std::io::ErrorKind::ConnectionRefused,
        sqlx::Error::Database(error) => error.code().as_deref() == Some("57P01"), // terminated by an administrator
        _ => false,
    }
}

/// Parses a database URL.
///
/// Plans are generic: our statements are static and prepared once per connection, and planning them anew for the values
/// of each of their first five executions, on every connection, cost more than running them. Nor are they compiled: over
/// a large table an estimate is soon high enough for it, and compiling takes longer than the query. (A pooler must let
/// the startup parameter `options` pass.)
pub fn connect_options(url: &str) -> Result<PgConnectOptions> {
    let options = [("plan_cache_mode", "force_generic_plan"), ("jit", "off")];
    Ok(PgConnectOptions::from_str(url)?.application_name("cairn").options(options))
}

/// A pool for looking at what goes on, apart from the pools that are looked at: two connections, and nothing that runs
/// longer than 2 s.
pub fn observer_pool(options: PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(2)
        .acquire_timeout(Duration::from_secs(2))
        .idle_timeout(Duration::from_mins(5))
        .connect_lazy_with(options.options([("statement_timeout", "2s")]))
}

/// A pool that connects when it is first used. Waits at most 5 s for a connection: then the caller answers 503.
pub fn lazy_pool(url: &str, max_connections: u32) -> Result<PgPool> {
    Ok(pool_options(max_connections).connect_lazy_with(connect_options(url)?))
}

fn pool_options(max_connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(Duration::from_secs(5))
        .idle_timeout(Duration::from_mins(5))
        // A ping before each use costs a round trip. Connections in use show by themselves that they were cut; only
        // those that lay idle for a while are asked.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move { Ok(meta.idle_for < Duration::from_secs(1) || connection.ping().await.is_ok()) })
        })
}
