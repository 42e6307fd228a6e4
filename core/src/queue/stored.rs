//! Decoded jobs of one kind, which the reconcilers compare with the pending work.

use sqlx::PgConnection;

use super::{Envelope, Job};
use crate::Result;

/// The jobs of one kind.
#[derive(Debug)]
pub struct Stored<J> {
    /// Jobs that are running or will run.
    pub live: Vec<J>,
    /// Jobs that died within the last day.
    pub dead: Vec<J>,
}

/// Reads the jobs of one kind. They are decoded here rather than in SQL, where one unreadable payload would make the statement,
/// and with it the whole reconciler, fail.
pub async fn stored<J: Job>(connection: &mut PgConnection) -> Result<Stored<J>> {
    let rows = sqlx::query!(
        // One part for each index. A single condition would read every finished job, every few seconds.
        r#"SELECT job AS "job!", false AS "is_dead!" FROM apalis.jobs
           WHERE job_type = $1 AND (status = 'Pending' OR (status = 'Failed' AND attempts < max_attempts))
           UNION ALL
           -- By worker, because the index of held jobs also has every job of every queue that was claimed since the oldest
           -- snapshot.
           SELECT j.job, false FROM apalis.workers w JOIN apalis.jobs j ON j.lock_by = w.id
           WHERE w.worker_type = $1 AND j.job_type = $1 AND j.status IN ('Queued', 'Running')
           UNION ALL
           SELECT job, true FROM apalis.jobs
           WHERE job_type = $1 AND (status = 'Killed' OR (status = 'Failed' AND attempts >= max_attempts))
             AND coalesce(done_at, run_at) > now() - interval '1 day'"#,
        J::QUEUE.name()
    )
    .fetch_all(connection)
    .await?;
    let mut jobs = Stored { live: Vec::new(), dead: Vec::new() };
    for row in rows {
        if let Ok(envelope) = serde_json::from_slice::<Envelope<J>>(&row.job)
            && envelope.kind == J::KIND
        {
            if row.is_dead { jobs.dead.push(envelope.data) } else { jobs.live.push(envelope.data) }
        }
    }
    Ok(jobs)
}
