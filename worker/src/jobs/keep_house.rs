//! Hourly housekeeping: partitions ahead, retention.

use cairn_core::admin::housekeeping;
use cairn_core::jobs::KeepHouse;

use crate::{Context, JobError};

pub(super) async fn run(context: Context, _: KeepHouse) -> Result<(), JobError> {
    housekeeping::run(context.db.pool()).await?;
    Ok(())
}
