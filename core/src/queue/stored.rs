//! Stored jobs of one kind, decoded: what the reconcilers compare with the work that waits.

use sqlx::PgConnection;

use super::{Envelope, Job};
use crate::Result;

/// The jobs of one kind.
#[derive(Debug)]
pub struct Stored<J> {
    /// Those that will run, or are running.
    pub live: Vec<J>,
    /// Those that died within a day.
    pub dead: Vec<J>,
}

/// Decoded here and not in SQL: one payload that cannot be read would fail the statement, and with it everything that
/// the safety net is for.
pub async fn stored<J: Job>(connection: &mut PgConnection) -> Result<Stored<J>> {
    let rows = sqlx::query!(
        // One part for each index: in a single condition they would have every finished job read, every few seconds.
        r#"SELECT job AS "job!", false AS "is_dead!" FROM apalis.jobs
           WHERE job_type = $1 AND (status = 'Pending' OR (status = 'Failed' AND attempts < max_attempts))
           UNION ALL
           SELECT job, false FROM apalis.jobs WHERE job_type = $1 AND status IN ('Queued', 'Running')
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
