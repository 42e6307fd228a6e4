//! Listening for notifications on a connection that may die without a word.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{Acquire, Connection};
use tokio::time::timeout;

use crate::{Error, Result, hosts};

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
    /// Opens a connection, and listens.
    ///
    /// It has a pool of its own: a listener that is dropped waits until the server has confirmed that it no longer listens,
    /// which a silent connection does only when TCP gives it up, and nobody else is to wait for that.
    pub async fn open(options: &PgConnectOptions, channel: &str) -> Result<Self> {
        let options = timeout(LIMIT, hosts::writable(options)).await;
        let options = options.map_err(|_| Error::too_slow("finding the host that accepts writes", LIMIT))?;
        let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(LIMIT).connect_lazy_with(options);
        let mut inner = PgListener::connect_with(&pool).await?;
        inner.eager_reconnect(false);
        timeout(LIMIT, inner.listen(channel)).await.map_err(|_| Error::too_slow("listening", LIMIT))??;
        Ok(Self { inner })
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
