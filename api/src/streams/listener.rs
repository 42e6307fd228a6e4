//! Listens for what readers follow, on one LISTEN connection for all streams of the process.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use cairn_core::db::Listener;
use cairn_core::hosts::Moves;
use cairn_core::queue::READERS_CHANNEL;
use sqlx::postgres::PgConnectOptions;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::registry::Registry;

/// Pause before a lost connection is opened again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);

/// Listens from when the first stream is opened until `stop`.
pub(super) async fn listen(options: PgConnectOptions, registry: Arc<Registry>, stop: CancellationToken) {
    let mut moves = Moves::of(&options);
    let work = async {
        registry.opened().await;
        loop {
            let error = tokio::select! {
                Err(error) = listen_once(&options, &registry) => Some(error.to_string()),
                () = moves.next() => None, // what is written now is told on another host
            };
            registry.set_listening(false);
            tracing::warn!(error, "cannot listen for what readers follow; they poll until the connection is back");
            tokio::time::sleep(RECONNECT_PAUSE).await;
        }
    };
    stop.run_until_cancelled(work).await;
}

/// Listens until the connection is lost.
async fn listen_once(options: &PgConnectOptions, registry: &Registry) -> cairn_core::Result<Infallible> {
    let mut listener = Listener::open(options, READERS_CHANNEL).await?;
    registry.set_listening(true);
    loop {
        let ids = listener.next().await?;
        ids.split(',').filter_map(|id| Uuid::parse_str(id).ok()).for_each(|id| registry.wake(id));
    }
}
