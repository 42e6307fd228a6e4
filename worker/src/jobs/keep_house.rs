//! Hourly housekeeping: partitions ahead, retention.

use std::time::Duration;

use cairn_core::admin::housekeeping;
use cairn_core::admin::maintenance::KeepHouse;
use cairn_core::queue::Job;

use crate::{Context, JobError};

/// Half the job's deadline: what is left then is for the next job.
const BUDGET: Duration = Duration::from_secs(KeepHouse::DEADLINE.as_secs() / 2);

pub(super) async fn run(context: Context, job: KeepHouse) -> Result<(), JobError> {
    if !housekeeping::run(context.db.pool(), BUDGET).await? {
        let mut tx = context.db.begin().await?;
        tx.enqueue(&job)?;
        tx.commit().await?;
    }
    Ok(())
}
