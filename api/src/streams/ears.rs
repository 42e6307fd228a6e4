//! Hears what is announced: one LISTEN connection for all streams of the process.

use std::sync::Arc;
use std::time::Duration;

use cairn_core::queue::REPLIES_CHANNEL;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::registry::Registry;

/// Pause before a lost connection is made again.
const PAUSE: Duration = Duration::from_millis(500);

/// Listens from when the first stream is opened, until `stop`.
pub(super) async fn listen(options: PgConnectOptions, registry: Arc<Registry>, stop: CancellationToken) {
    let pool =
        PgPoolOptions::new().max_connections(1).acquire_timeout(Duration::from_secs(5)).connect_lazy_with(options);
    let work = async {
        registry.entered().await;
        loop {
            let ended = hear(&pool, &registry).await;
            registry.set_hears(false);
            let error = ended.err().map(|error| error.to_string());
            tracing::warn!(error, "announcements of replies are not heard; readers look by themselves meanwhile");
            tokio::time::sleep(PAUSE).await;
        }
    };
    stop.run_until_cancelled(work).await;
}

/// Until the connection is lost.
async fn hear(pool: &PgPool, registry: &Registry) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.eager_reconnect(false);
    listener.listen(REPLIES_CHANNEL).await?;
    registry.set_hears(true);
    while let Some(announcement) = listener.try_recv().await? {
        announcement.payload().split(',').filter_map(|id| Uuid::parse_str(id).ok()).for_each(|id| registry.wake(id));
    }
    Ok(())
}
