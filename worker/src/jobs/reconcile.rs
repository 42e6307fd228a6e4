//! Picks up what a lost job left behind, every few seconds.

use std::time::Duration;

use cairn_core::admin::maintenance::Reconcile;
use cairn_core::{community, learning, library, tools};

use crate::{Context, JobError};

/// A project whose likes have not been counted for so long has lost its job, or never had one (SQL by hand).
const LIKES_PATIENCE: Duration = Duration::from_secs(5);

/// Uses that have not been counted for so long have no job that will see them.
const USES_AGE: Duration = Duration::from_secs(5);

pub(super) async fn run(context: Context, _: Reconcile) -> Result<(), JobError> {
    let mut tx = context.db.begin().await?;
    learning::jobs::stale_progress(&mut tx).await?;
    learning::jobs::stale_roadmaps(&mut tx).await?;
    community::likes::requeue_waiting(&mut tx, LIKES_PATIENCE, 1000).await?;
    library::uses::requeue_waiting(&mut tx, USES_AGE, 1000).await?;
    tools::jobs::dead_replies(&mut tx).await?;
    Ok(tx.commit().await?)
}
