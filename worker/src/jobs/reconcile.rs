//! Every few seconds, enqueues work whose job was lost.

use std::time::Duration;

use cairn_core::admin::maintenance::Reconcile;
use cairn_core::{community, learning, library, tools, users};

use crate::Context;
use crate::run::JobError;

/// A project whose likes have been waiting this long to be counted has lost its job, or never had one (a change in SQL).
const LIKES_STALE_AFTER: Duration = Duration::from_secs(5);

/// Uses that have been waiting this long to be counted have no job that will count them.
const USES_STALE_AFTER: Duration = Duration::from_secs(5);

pub(super) async fn run(context: Context, _: Reconcile) -> Result<(), JobError> {
    let mut tx = context.db.begin().await?;
    learning::jobs::stale_progress(&mut tx).await?;
    learning::jobs::stale_roadmaps(&mut tx).await?;
    learning::jobs::stale_tasks(&mut tx).await?;
    learning::imports::requeue_waiting(&mut tx).await?;
    community::likes::requeue_waiting(&mut tx, LIKES_STALE_AFTER, 1000).await?;
    library::uses::requeue_waiting(&mut tx, USES_STALE_AFTER, 1000).await?;
    tools::jobs::dead_replies(&mut tx).await?;
    tools::tryouts::requeue_waiting(&mut tx).await?;
    users::erasure::requeue_waiting(&mut tx, 1000).await?;
    Ok(tx.commit().await?)
}
