//! Jobs on a schedule: one worker of all enqueues each.

use std::time::Duration;

use crate::Result;
use crate::db::Tx;
use crate::queue::Job;

/// Enqueues `job` if its schedule is due, by the database's clock, and no earlier one waits or runs: a queue that is
/// paused or behind does not fill up with ticks. (A run that has outlived its deadline was lost and holds nothing up.)
/// Any number of workers may ask: one enqueues.
pub async fn enqueue_scheduled<J: Job>(tx: &mut Tx, job: &J, every: Duration) -> Result<bool> {
    let due = sqlx::query_scalar!(
        "UPDATE schedules SET last_enqueued_at = now()
         WHERE name = $1 AND last_enqueued_at <= now() - make_interval(secs => $2)
           AND NOT EXISTS (
               SELECT FROM apalis.jobs
               WHERE job_type = $3 AND (status = 'Pending' OR (status = 'Failed' AND attempts < max_attempts))
                 AND job_kind(job) = $1)
           AND NOT EXISTS (
               SELECT FROM apalis.jobs
               WHERE job_type = $3 AND status IN ('Queued', 'Running') AND job_kind(job) = $1
                 AND lock_at > now() - make_interval(secs => $4))
         RETURNING true",
        J::KIND,
        every.as_secs_f64(),
        J::QUEUE.name(),
        J::DEADLINE.as_secs_f64()
    )
    .fetch_optional(&mut **tx)
    .await?
    .is_some();
    if due {
        tx.enqueue(job)?;
    }
    Ok(due)
}
