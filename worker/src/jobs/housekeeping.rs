//! Hourly housekeeping: partitions and retention.

use std::time::Duration;

use cairn_core::admin::housekeeping;
use cairn_core::admin::maintenance::Housekeeping;
use cairn_core::queue::Job;

use crate::{Context, JobError};

/// Half of the job's deadline. The next job does what is left after it.
const BUDGET: Duration = Duration::from_secs(Housekeeping::DEADLINE.as_secs() / 2);

pub(super) async fn run(context: Context, job: Housekeeping) -> Result<(), JobError> {
    if !housekeeping::run(context.db.pool(), BUDGET).await? {
        let mut tx = context.db.begin().await?;
        tx.enqueue(&job)?;
        tx.commit().await?;
    }
    Ok(())
}
