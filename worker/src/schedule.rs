//! The clock of the maintenance queue.

use std::time::Duration;

use cairn_core::admin::maintenance::{KeepHouse, Reconcile};
use cairn_core::admin::schedule::enqueue_scheduled;
use cairn_core::db::Db;
use tokio_util::sync::CancellationToken;

/// How often the schedules are looked at.
const LOOK: Duration = Duration::from_secs(1);
const RECONCILE: Duration = Duration::from_secs(5);
const KEEP_HOUSE: Duration = Duration::from_hours(1);

/// Enqueues what is due until `stop`. Several processes may do this: the database lets one of them enqueue each tick.
pub(crate) async fn run(db: Db, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = tick(&db).await {
            tracing::warn!(error = %error, "cannot enqueue scheduled jobs, trying again");
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stop.cancelled() => {}
        }
    }
}

async fn tick(db: &Db) -> cairn_core::Result<()> {
    let mut tx = db.begin().await?;
    let reconcile = enqueue_scheduled(&mut tx, &Reconcile {}, RECONCILE).await?;
    let keep_house = enqueue_scheduled(&mut tx, &KeepHouse {}, KEEP_HOUSE).await?;
    if reconcile || keep_house { tx.commit().await } else { tx.rollback().await }
}
