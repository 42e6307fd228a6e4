//! Erases the data of a user who deleted their account, part by part.

use std::time::{Duration, Instant};

use cairn_core::queue::Job;
use cairn_core::users::erasure;
use cairn_core::users::jobs::EraseUser;

use crate::Context;
use crate::run::JobError;

/// Half of the job's deadline. The next job does what is left after it.
const BUDGET: Duration = Duration::from_secs(EraseUser::DEADLINE.as_secs() / 2);

pub(super) async fn run(context: Context, job: EraseUser) -> Result<(), JobError> {
    let started = Instant::now();
    loop {
        let mut tx = context.db.begin().await?;
        let has_more = erasure::erase_part(&mut tx, job.user_id).await?;
        let is_over = started.elapsed() >= BUDGET || context.shutdown.is_cancelled();
        if has_more && is_over {
            tx.enqueue(&job)?;
        }
        tx.commit().await?;
        if !has_more || is_over {
            return Ok(());
        }
    }
}
