//! Listening for notifications on a connection that may die without a word.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{Acquire, AssertSqlSafe, Connection};
use tokio::time::timeout;

use super::connection::connect;
use crate::{Error, Result, hosts};

/// What is wrong if no notification arrives, and what to do.
pub const LOSES_NOTIFICATIONS: &str = "no notification arrives, so jobs start and streams go on up to a second late: set \
                                       DATABASE_DIRECT_URL to the server itself, or to a pooler in session mode";

/// A listener that has heard nothing for so long asks whether its connection is still there.
const QUIET: Duration = Duration::from_secs(2);

/// How long the answer may take, and how long beginning to listen may take.
const LIMIT: Duration = Duration::from_secs(3);

/// A connection that listens on one channel. It is lost when a method fails, and is then to be opened again, after which
/// everything that may have been notified meanwhile is to be looked for.
#[derive(Debug)]
pub struct Listener {
    inner: PgListener,
}

impl Listener {
    /// Opens a connection, and listens. Fails if nothing can be heard on it: a pooler in transaction mode takes `LISTEN` and
    /// forgets it. Other listeners on the channel receive a notification without a payload.
    ///
    /// It has a pool of its own: a listener that is dropped waits until the server has confirmed that it no longer listens,
    /// which a silent connection does only when TCP gives it up, and nobody else is to wait for that.
    pub async fn open(options: &PgConnectOptions, channel: &str) -> Result<Self> {
        let options = timeout(LIMIT, hosts::writable(options)).await;
        let options = options.map_err(|_| Error::too_slow("finding the host that accepts writes", LIMIT))?;
        let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(LIMIT).connect_lazy_with(options.clone());
        let mut inner = PgListener::connect_with(&pool).await?;
        inner.eager_reconnect(false);
        timeout(LIMIT, inner.listen(channel)).await.map_err(|_| Error::too_slow("listening", LIMIT))??;
        let mut listener = Self { inner };
        if notify(&options, channel).await?
            && let Ok(heard) = timeout(LIMIT, listener.next()).await
        {
            return heard.map(|_| listener);
        }
        Err(Error::message(LOSES_NOTIFICATIONS))
    }

    /// Waits for the next notification, and returns its payload.
    pub async fn next(&mut self) -> Result<String> {
        loop {
            match timeout(QUIET, self.inner.try_recv()).await {
                Ok(Ok(Some(notification))) => return Ok(notification.payload().to_owned()),
                Ok(Ok(None)) => return Err(Error::lost()),
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => {}
            }
            let ping = async { self.inner.acquire().await?.ping().await };
            timeout(LIMIT, ping).await.map_err(|_| Error::too_slow("an answer to the listener", LIMIT))??;
        }
    }
}

/// Sends a notification without a payload on a connection of its own. Returns `false` if the connection itself hears it, which means
/// that a pooler has given the session that listens to it.
pub(crate) async fn notify(options: &PgConnectOptions, channel: &str) -> Result<bool> {
    let mut sender = connect(options).await?;
    // Without parameters, so that it is one message, which a pooler cannot divide.
    let notify = AssertSqlSafe(format!("NOTIFY \"{}\"", channel.replace('"', "\"\"")));
    let sent = timeout(LIMIT, sqlx::raw_sql(notify).execute(&mut sender)).await;
    match sent.map_err(|_| Error::too_slow("notifying", LIMIT))? {
        Ok(_) => {}
        Err(sqlx::Error::Protocol(_)) => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    sender.close().await?;
    Ok(true)
}
