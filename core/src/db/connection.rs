//! A connection that somebody holds, and how it goes back to its pool.
//!
//! A connection can stop answering at any moment: the network loses it without a word, the server is frozen, a statement
//! waits for a lock. sqlx waits for it without a limit when it goes back to its pool, and the pool then has one connection
//! less for as long as that takes. Ours goes back within [`RETURN_LIMIT`], or is closed.
//!
//! What may take how long while it is held, the server limits ([`super::Limits`]). That does not help if the server's answers
//! do not arrive, so whatever uses connections runs [`within`] a limit of its own.

use std::any::Any;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection, PgPool, Postgres};
use tokio::time::{Instant, sleep_until, timeout};

use crate::{Error, Result};

/// How long a connection may take to end what it was doing when it was given back: the rollback of a transaction, or a
/// statement whose request was cancelled. After that it is closed, and the server ends the statement.
const RETURN_LIMIT: Duration = Duration::from_secs(1);

/// How long opening a connection outside a pool may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// A connection of a pool. Dropping it gives it back, in any state: what has begun on it is rolled back.
#[derive(Debug)]
pub struct Connection {
    /// `None` once it has been given back.
    pooled: Option<PoolConnection<Postgres>>,
    /// Whether there is a transaction to roll back.
    is_open: bool,
    hold: Option<Hold>,
}

/// Takes a connection from a pool. Waits for one for as long as the pool does.
pub async fn acquire(pool: &PgPool) -> Result<Connection> {
    Ok(take(pool).await?)
}

/// As [`acquire`], with the error of the driver.
pub(super) async fn take(pool: &PgPool) -> Result<Connection, sqlx::Error> {
    let pooled = pool.acquire().await?;
    Ok(Connection { pooled: Some(pooled), is_open: false, hold: HOLDS.try_with(Holds::begin).ok() })
}

/// Opens a connection outside the pools, such as for `LISTEN`.
pub async fn connect(options: &PgConnectOptions) -> Result<PgConnection> {
    let opened = timeout(CONNECT_LIMIT, options.connect()).await;
    Ok(opened.map_err(|_| Error::too_slow("opening a connection", CONNECT_LIMIT))??)
}

impl Connection {
    /// Closes the connection instead of giving it back: its session is of no use any more.
    pub fn discard(mut self) {
        drop(self.pooled.take().map(PoolConnection::detach));
    }

    /// Begins a transaction with this statement. Whatever happens to the connection, it is rolled back unless
    /// [`Connection::commit`] succeeds.
    pub(super) async fn begin(mut self, statement: &'static str) -> Result<Self, sqlx::Error> {
        self.is_open = true;
        sqlx::raw_sql(statement).execute(&mut *self).await?;
        Ok(self)
    }

    /// Commits.
    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("COMMIT").execute(&mut *self).await?;
        self.is_open = false;
        Ok(())
    }

    /// Rolls back now, and not some time after it was dropped.
    pub(super) async fn rollback(mut self) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("ROLLBACK").execute(&mut *self).await?;
        self.is_open = false;
        Ok(())
    }
}

impl Deref for Connection {
    type Target = PgConnection;
    fn deref(&self) -> &PgConnection {
        self.pooled.as_ref().expect("a connection that was not given back")
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.pooled.as_mut().expect("a connection that was not given back")
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(pooled) = self.pooled.take() else { return };
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(give_back(pooled, self.is_open, self.hold.take()))),
            // Without a runtime nothing can be asked of the server.
            Err(_) => drop(pooled.detach()),
        }
    }
}

/// Gives a connection back to its pool, or closes it if it does not answer in time. The place in the pool is free in any
/// case.
async fn give_back(mut pooled: PoolConnection<Postgres>, is_open: bool, _hold: Option<Hold>) {
    if is_open {
        let rollback = sqlx::raw_sql("ROLLBACK").execute(&mut *pooled);
        if !timeout(RETURN_LIMIT, rollback).await.is_ok_and(|result| result.is_ok()) {
            return drop(pooled.detach());
        }
    }
    // This waits until the connection is idle. If that takes too long, dropping the future closes the connection.
    if timeout(RETURN_LIMIT, pooled.return_to_pool()).await.is_err() {
        tracing::debug!("closed a connection that did not answer in time");
    }
}

tokio::task_local! {
    /// The connections that the current request or job holds.
    static HOLDS: Holds;
}

#[derive(Clone, Debug, Default)]
struct Holds {
    /// How many connections are held, and since when there has been one without a break.
    held: Arc<Mutex<(u32, Option<Instant>)>>,
    /// The place that the request or job occupies.
    _place: Option<Arc<dyn Any + Send + Sync>>,
}

/// A connection that is held.
#[derive(Debug)]
struct Hold(Holds);

impl Holds {
    fn begin(&self) -> Hold {
        let mut held = self.lock();
        held.0 += 1;
        held.1.get_or_insert_with(Instant::now);
        Hold(self.clone())
    }

    /// Returns when a connection has been held for so long.
    async fn exceed(&self, limit: Duration) {
        loop {
            let since = self.lock().1;
            if since.is_some_and(|since| since.elapsed() >= limit) {
                return;
            }
            sleep_until(since.unwrap_or_else(Instant::now) + limit).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, (u32, Option<Instant>)> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = self.0.lock();
        held.0 -= 1;
        if held.0 == 0 {
            held.1 = None;
        }
    }
}

/// Does `work`, and ends it when it has held connections for longer than `limit`: the error is that the database is not
/// available. The connections are given back, and closed if they do not answer. What `work` does without a connection takes
/// as long as it takes.
pub fn within<T, E: From<Error>>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> impl Future<Output = Result<T, E>> {
    end_after(limit, Holds::default(), Box::pin(work))
}

/// As [`within`], for work that somebody occupies a place for: the place is free when the connections have been given back
/// as well, which may take longer than the work that was cancelled.
pub fn within_place<T, E: From<Error>>(
    limit: Duration,
    place: Arc<dyn Any + Send + Sync>,
    work: impl Future<Output = Result<T, E>>,
) -> impl Future<Output = Result<T, E>> {
    end_after(limit, Holds { held: Arc::default(), _place: Some(place) }, Box::pin(work))
}

async fn end_after<T, E: From<Error>>(
    limit: Duration,
    holds: Holds,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    tokio::select! {
        biased;
        output = HOLDS.scope(holds.clone(), work) => output,
        () = holds.exceed(limit) => Err(Error::too_slow("work with the database", limit).into()),
    }
}
