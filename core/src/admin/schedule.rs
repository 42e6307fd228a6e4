//! Scheduled jobs, each of which is enqueued by one of all workers.

use std::time::Duration;

use crate::Result;
use crate::db::Tx;
use crate::queue::Job;

/// Enqueues `job` if its schedule is due, by the database's clock, and no earlier job of its kind is waiting or running, so that
/// a paused or slow queue does not fill up. (A run that has exceeded its deadline is lost and does not count.) Any number of
/// workers may call this at the same time: one of them enqueues the job.
pub async fn enqueue_scheduled<J: Job>(tx: &mut Tx, job: &J, every: Duration) -> Result<bool> {
    let due = sqlx::query_scalar!(
        "UPDATE schedules SET last_enqueued_at = now()
         WHERE name = $1
           -- A minute ahead is no tick of another worker: the clock was set back.
           AND (last_enqueued_at <= now() - make_interval(secs => $2) OR last_enqueued_at > now() + interval '1 minute')
           AND NOT EXISTS (
               SELECT FROM apalis.jobs
               WHERE job_type = $3 AND (status = 'Pending' OR (status = 'Failed' AND attempts < max_attempts))
                 AND job_kind(job) = $1)
           AND NOT EXISTS (
               SELECT FROM apalis.workers w JOIN apalis.jobs j ON j.lock_by = w.id
               WHERE w.worker_type = $3 AND j.job_type = $3 AND j.status IN ('Queued', 'Running') AND job_kind(j.job) = $1
                 AND j.lock_at BETWEEN now() - make_interval(secs => $4) AND now() + interval '1 minute')
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
