//! The database: connection pools, and transactions that enqueue jobs.

mod connection;
mod limits;
mod listener;
mod tx;
mod url;
mod waits;

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection as _, PgConnection, PgPool};
use tokio::time::timeout;

pub use self::connection::{Connection, acquire, connect, within, within_place};
pub use self::limits::{Limits, Purpose};
pub(crate) use self::listener::notify;
pub use self::listener::{LOSES_NOTIFICATIONS, Listener};
pub use self::tx::{Snapshot, Tx, UserTx};
pub use self::url::{DatabaseUrl, UrlFault};
pub use self::waits::{WaitFigures, Waits};
use crate::Result;
use crate::actor::{Actor, Caller};
use crate::clock::Clock;
use crate::queue::Notifier;
use crate::{Error, hosts, transient};
pub use cairn_migrations::{
    APPLICATION, MigrateError, Migrations, OWNER, Role, create_roles, migrate, migrations, migrations_on,
    schema_fingerprint, set_up,
};

/// How long a request or a job waits for a connection. After that, the API answers 503.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(5);

/// How long a connection that was idle may take to show that it is still there. After that, another one is opened. Far
/// shorter than [`ACQUIRE_LIMIT`], of which it is a part.
const PING_LIMIT: Duration = Duration::from_millis(500);

/// How long a connection may have been idle to be used without a ping.
const UNTESTED: Duration = Duration::from_secs(1);

/// How long a pool waits for the connections in use when the process stops. Whoever uses one was told to stop before.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// A pool of connections, and the notifier that tells workers about committed jobs. Cheap to clone.
#[derive(Clone)]
pub struct Db {
    pool: PgPool,
    waits: Waits,
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
    /// through a pooler in transaction mode). The pool is for requests unless [`Db::for_purpose`] says otherwise. Connects
    /// lazily, so it succeeds while the database is down.
    pub fn connect(url: &str, direct_url: &str, max_connections: u32) -> Result<Self> {
        let direct = connect_options(direct_url)?;
        Ok(Self {
            pool: lazy_pool(url, max_connections, Purpose::Requests)?,
            waits: Waits::default(),
            notifier: Notifier::start(direct.clone()),
            direct,
            clock: Clock::default(),
        })
    }

    /// The same database and notifier with a separate pool of at most `max_connections`, so that neither pool can exhaust
    /// the other.
    #[must_use]
    pub fn share(&self, max_connections: u32) -> Self {
        let options = self.pool.connect_options();
        let pool = open_pool(max_connections, (*options).clone());
        Self { pool, waits: Waits::default(), ..self.clone() }
    }

    /// The same database and notifier with a pool of the same size for another purpose.
    #[must_use]
    pub fn for_purpose(self, purpose: Purpose) -> Self {
        let options = purpose.apply((*self.pool.connect_options()).clone());
        let max_connections = self.pool.options().get_max_connections();
        Self { pool: open_pool(max_connections, options), ..self }
    }

    /// How long others have waited for connections of this pool.
    pub fn waits(&self) -> &Waits {
        &self.waits
    }

    /// A connection, for statements that need no transaction.
    pub async fn acquire(&self) -> Result<Connection> {
        self.waits.count(acquire(&self.pool)).await
    }

    /// The pool, which takes back what is taken from it without a limit. Programs use [`Db::acquire`].
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// The options for opening a session connection, which `LISTEN` needs: one that does not go through a pooler in
    /// transaction mode.
    pub fn direct_options(&self) -> PgConnectOptions {
        self.direct.clone()
    }

    /// The notifier, for jobs that were written without a [`Tx`].
    pub fn notifier(&self) -> &Notifier {
        &self.notifier
    }

    /// The same database with another clock, such as that of another process in a test.
    #[must_use]
    pub fn with_clock(self, clock: Clock) -> Self {
        Self { clock, ..self }
    }

    /// The clock of this process.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Begins a transaction on behalf of the platform. Dropping it without [`Tx::commit`] rolls everything back, its jobs
    /// included.
    pub async fn begin(&self) -> Result<Tx> {
        self.begin_for(Actor::default()).await
    }

    /// Begins a transaction on behalf of a signed-in user.
    pub async fn begin_as(&self, caller: &Caller) -> Result<UserTx> {
        Ok(UserTx::new(self.begin_for(caller.into()).await?, caller.clone()))
    }

    /// Begins a transaction on behalf of an actor who may not be signed in.
    pub async fn begin_for(&self, actor: Actor) -> Result<Tx> {
        Ok(Tx::new(self.open("BEGIN").await?, self.notifier.clone(), actor, self.clock.clone()))
    }

    /// Begins a read-only transaction whose statements all see the same snapshot, for answers that are read in several
    /// statements.
    pub async fn snapshot(&self) -> Result<Snapshot> {
        Ok(Snapshot::new(self.open("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?))
    }

    /// Begins a transaction. A connection that was lost while it was idle in the pool fails here; trying the next one is
    /// safe, because nothing has been done on it yet.
    async fn open(&self, begin: &'static str) -> Result<Connection> {
        let mut stale = 0;
        loop {
            let opening = async { self.waits.count(connection::take(&self.pool)).await?.begin(begin).await };
            match opening.await {
                Ok(transaction) => return Ok(transaction),
                Err(error) if is_stale(&error) && stale < self.pool.options().get_max_connections() => stale += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Closes the pool, after waiting for the connections in use, but not for ever.
    pub async fn close(&self) {
        close(&self.pool).await;
    }
}

/// Closes a pool, after waiting for the connections in use for 2 s.
pub async fn close(pool: &PgPool) {
    if timeout(CLOSE_LIMIT, pool.close()).await.is_err() {
        tracing::warn!("connections to the database were still in use when the process stopped");
    }
}

/// Whether an existing connection was lost, as opposed to none being available.
fn is_stale(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() != std::io::ErrorKind::ConnectionRefused,
        sqlx::Error::Database(error) => error.code().as_deref() == Some("57P01"), // terminated by an administrator
        _ => false,
    }
}

/// What the program calls itself in the database.
static PROGRAM: OnceLock<&str> = OnceLock::new();

/// Has the connections of this process bear the name of its program, so that whoever looks at the database sees whose they are.
pub fn name_program(name: &'static str) {
    let _ = PROGRAM.set(name); // a process is one program
}

fn program() -> &'static str {
    PROGRAM.get().copied().unwrap_or("cairn")
}

/// Parses a database URL, which may name several hosts: one that accepts writes is used then ([`hosts`]). Adds the options of all
/// connections. A pooler must pass on the startup parameter `options`.
pub fn connect_options(url: &str) -> Result<PgConnectOptions> {
    let url = DatabaseUrl::parse(url).map_err(|fault| Error::message(format!("the database URL {fault}")))?;
    let hosts: Vec<PgConnectOptions> =
        url.hosts.into_iter().map(|host| host.application_name(program()).options(limits::OPTIONS)).collect();
    if url.must_write {
        return Ok(hosts::group(hosts));
    }
    hosts.into_iter().next().ok_or_else(|| Error::message("a database URL without a host"))
}

/// A pool for monitoring, separate from the pools that it reports on: two connections, and a statement timeout of 2 s.
pub fn observer_pool(options: PgConnectOptions) -> PgPool {
    let pool = PgPoolOptions::new()
        .max_connections(2)
        .acquire_timeout(Duration::from_secs(2))
        .idle_timeout(Duration::from_mins(5))
        .test_before_acquire(false)
        // What it says of the server must be what new sessions would find.
        .before_acquire(|connection, meta| {
            let is_outdated = transient::is_outdated(meta.age);
            Box::pin(async move { Ok(!is_outdated && answers(connection).await) })
        })
        .connect_lazy_with(options.options([("statement_timeout", "2s")]));
    hosts::follow(pool)
}

/// A pool that connects when it is first used.
pub fn lazy_pool(url: &str, max_connections: u32, purpose: Purpose) -> Result<PgPool> {
    Ok(open_pool(max_connections, purpose.apply(connect_options(url)?)))
}

fn open_pool(max_connections: u32, options: PgConnectOptions) -> PgPool {
    let group = hosts::of(&options);
    let pool_options = pool_options(max_connections).after_connect(move |connection, _| {
        let group = group.clone();
        Box::pin(async move {
            match group {
                Some(group) => group.require_writes(connection).await,
                None => Ok(()),
            }
        })
    });
    hosts::follow(pool_options.connect_lazy_with(options))
}

fn pool_options(max_connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(ACQUIRE_LIMIT)
        .idle_timeout(Duration::from_mins(5))
        // A ping before each use costs a round trip, and `Db::open` copes with lost connections, so only connections that
        // have been idle for a second are pinged, and all for a second after one was lost.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            let is_outdated = transient::is_outdated(meta.age);
            let is_sure = meta.idle_for < UNTESTED && !transient::has_lost_within(UNTESTED);
            Box::pin(async move { Ok(!is_outdated && (is_sure || answers(connection).await)) })
        })
}

/// Whether a connection that was idle still answers.
async fn answers(connection: &mut PgConnection) -> bool {
    timeout(PING_LIMIT, connection.ping()).await.is_ok_and(|result| result.is_ok())
}
