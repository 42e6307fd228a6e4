//! Enqueues the jobs that run on a schedule.

use std::time::Duration;

use cairn_core::admin::clocks;
use cairn_core::admin::maintenance::{Housekeeping, Reconcile};
use cairn_core::admin::schedule::enqueue_scheduled;
use cairn_core::community::jobs::RefreshTrending;
use cairn_core::db::{Db, Purpose, within};
use cairn_core::library::jobs::{CountSearchTerms, EmbedPassages};
use cairn_core::stats::jobs::RefreshStats;
use tokio_util::sync::CancellationToken;

/// How often the schedules are checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
const RECONCILE_EVERY: Duration = Duration::from_secs(5);
/// The dashboard may be ten seconds behind.
const REFRESH_STATS_EVERY: Duration = Duration::from_secs(5);
const HOUSEKEEPING_EVERY: Duration = Duration::from_hours(1);
const COUNT_SEARCH_TERMS_EVERY: Duration = Duration::from_mins(1);
const EMBED_PASSAGES_EVERY: Duration = Duration::from_secs(10);
const REFRESH_TRENDING_EVERY: Duration = Duration::from_mins(10);

/// Enqueues scheduled jobs until `stop`, those for embeddings only if an endpoint for them is configured. Several processes may do
/// this: for each tick, the database lets only one of them enqueue.
pub(crate) async fn run(db: Db, has_embeddings: bool, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = within(Purpose::Requests.limits().hold, tick(&db, has_embeddings)).await {
            tracing::warn!(error = %error, "cannot enqueue scheduled jobs; trying again");
        }
        tokio::select! {
            () = tokio::time::sleep(CHECK_INTERVAL) => {}
            () = stop.cancelled() => {}
        }
    }
}

async fn tick(db: &Db, has_embeddings: bool) -> cairn_core::Result<()> {
    // Apart from the schedules, which must tick whatever is wrong with other times.
    if let Err(error) = heal(db).await {
        tracing::warn!(error = %error, "cannot move times that are ahead of the clock; trying again");
    }
    let mut tx = db.begin().await?;
    enqueue_scheduled(&mut tx, &Reconcile {}, RECONCILE_EVERY).await?;
    enqueue_scheduled(&mut tx, &Housekeeping {}, HOUSEKEEPING_EVERY).await?;
    enqueue_scheduled(&mut tx, &CountSearchTerms {}, COUNT_SEARCH_TERMS_EVERY).await?;
    if has_embeddings {
        enqueue_scheduled(&mut tx, &EmbedPassages {}, EMBED_PASSAGES_EVERY).await?;
    }
    enqueue_scheduled(&mut tx, &RefreshTrending {}, REFRESH_TRENDING_EVERY).await?;
    enqueue_scheduled(&mut tx, &RefreshStats {}, REFRESH_STATS_EVERY).await?;
    tx.commit().await
}

async fn heal(db: &Db) -> cairn_core::Result<()> {
    let mut tx = db.begin().await?;
    clocks::heal(&mut tx).await?;
    tx.commit().await
}
