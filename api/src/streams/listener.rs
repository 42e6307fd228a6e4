//! Listens for what readers follow, on one LISTEN connection for all streams of the process.

use std::sync::Arc;
use std::time::Duration;

use cairn_core::hosts::{self, Moves};
use cairn_core::queue::READERS_CHANNEL;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::registry::Registry;

/// Pause before a lost connection is opened again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

/// Listens from when the first stream is opened until `stop`.
pub(super) async fn listen(options: PgConnectOptions, registry: Arc<Registry>, stop: CancellationToken) {
    let mut moves = Moves::of(&options);
    let pool = PgPoolOptions::new().max_connections(1).acquire_timeout(Duration::from_secs(5));
    let pool = hosts::follow(pool.connect_lazy_with(options));
    let work = async {
        registry.opened().await;
        loop {
            let ended = tokio::select! {
                ended = listen_once(&pool, &registry) => ended,
                () = moves.next() => Ok(()), // what is written now is told on another host
            };
            registry.set_listening(false);
            let error = ended.err().map(|error| error.to_string());
            tracing::warn!(error, "cannot listen for what readers follow; they poll until the connection is back");
            tokio::time::sleep(RECONNECT_PAUSE).await;
        }
    };
    stop.run_until_cancelled(work).await;
}

/// Listens until the connection is lost.
async fn listen_once(pool: &PgPool, registry: &Registry) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.eager_reconnect(false);
    listener.listen(READERS_CHANNEL).await?;
    registry.set_listening(true);
    while let Some(notification) = listener.try_recv().await? {
        notification.payload().split(',').filter_map(|id| Uuid::parse_str(id).ok()).for_each(|id| registry.wake(id));
    }
    Ok(())
}
