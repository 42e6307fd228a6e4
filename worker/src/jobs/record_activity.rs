//! Writes one row of the activity log.

use cairn_core::activity::RecordActivity;

use crate::Context;
use crate::run::JobError;

pub(super) async fn run(context: Context, job: RecordActivity) -> Result<(), JobError> {
    Ok(context.events.run(job.event).await?)
}
