//! Every few seconds, enqueues work whose job was lost.

use std::time::Duration;

use cairn_core::admin::maintenance::Reconcile;
use cairn_core::db::{Db, Tx};
use cairn_core::{Error, community, learning, library, tools, users};

use crate::Context;
use crate::run::JobError;

/// A project whose likes have been waiting this long to be counted has lost its job, or never had one (a change in SQL).
const LIKES_STALE_AFTER: Duration = Duration::from_secs(5);

/// Uses that have been waiting this long to be counted have no job that will count them.
const USES_STALE_AFTER: Duration = Duration::from_secs(5);

pub(super) async fn run(context: Context, _: Reconcile) -> Result<(), JobError> {
    let db = &context.db;
    let done = [
        alone(db, async |tx| learning::jobs::stale_progress(tx).await).await,
        alone(db, async |tx| learning::jobs::stale_roadmaps(tx).await).await,
        alone(db, async |tx| learning::jobs::stale_tasks(tx).await).await,
        alone(db, async |tx| learning::imports::requeue_waiting(tx).await).await,
        alone(db, async |tx| community::likes::requeue_waiting(tx, LIKES_STALE_AFTER, 1000).await.map(drop)).await,
        alone(db, async |tx| library::uses::requeue_waiting(tx, USES_STALE_AFTER, 1000).await.map(drop)).await,
        alone(db, async |tx| tools::jobs::dead_replies(tx).await.map(drop)).await,
        alone(db, async |tx| tools::evaluation_runs::requeue_waiting(tx).await.map(drop)).await,
        alone(db, async |tx| tools::tryouts::requeue_waiting(tx).await.map(drop)).await,
        alone(db, async |tx| users::erasure::requeue_waiting(tx, 1000).await.map(drop)).await,
    ];
    done.into_iter().collect::<Result<(), Error>>()?;
    Ok(())
}

/// Reconciles one kind of work in a transaction of its own, so that a row that is locked for long stops only what needs it.
async fn alone(db: &Db, reconcile: impl AsyncFnOnce(&mut Tx) -> Result<(), Error>) -> Result<(), Error> {
    let mut tx = db.begin().await?;
    reconcile(&mut tx).await?;
    tx.commit().await
}
