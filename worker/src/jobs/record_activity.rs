//! Writes one row of the activity log.

use std::time::Duration;

use cairn_core::activity::RecordActivity;

use crate::Context;
use crate::run::JobError;

/// How long an event waits whose actor is locked.
const BLOCKED_DELAY: Duration = Duration::from_millis(500);

pub(super) async fn run(context: Context, job: RecordActivity) -> Result<(), JobError> {
    // The event is stored. Only the time of its actor is left, whom another transaction has locked.
    if context.events.run(job.event).await? { Err(JobError::Snooze(BLOCKED_DELAY)) } else { Ok(()) }
}
