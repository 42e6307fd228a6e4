//! Stores new jobs.

use std::time::Duration;

use sqlx::PgConnection;
use ulid::Ulid;

use super::{Envelope, Job, Queue, TRACEPARENT};
use crate::Result;

/// A job that is to be stored.
#[derive(Debug)]
pub struct NewJob {
    /// Its queue.
    pub queue: Queue,
    /// How long until it is due; `None` if it is due at once.
    pub delay: Option<Duration>,
    payload: Vec<u8>,
    max_attempts: i32,
}

impl NewJob {
    pub(crate) fn new<J: Job>(job: &J, delay: Option<Duration>) -> Result<Self> {
        let traceparent = TRACEPARENT.try_with(Clone::clone).ok().flatten();
        let envelope = Envelope { kind: J::KIND.to_owned(), v: 1, traceparent, data: job };
        Ok(Self { queue: J::QUEUE, delay, payload: serde_json::to_vec(&envelope)?, max_attempts: J::MAX_ATTEMPTS })
    }
}

/// Stores jobs of any queues in one statement.
///
/// Every column is filled, because a row that apalis' storage cannot read would stop its whole queue. `run_at` uses the
/// database's clock. `idempotency_key` stays null, because it is unique forever and a duplicate would abort the caller.
pub(crate) async fn insert_jobs(connection: &mut PgConnection, jobs: &[NewJob]) -> Result<()> {
    let ids: Vec<String> = jobs.iter().map(|_| Ulid::generate().to_string()).collect();
    let queues: Vec<&str> = jobs.iter().map(|job| job.queue.name()).collect();
    let payloads: Vec<&[u8]> = jobs.iter().map(|job| job.payload.as_slice()).collect();
    let max_attempts: Vec<i32> = jobs.iter().map(|job| job.max_attempts).collect();
    let delays: Vec<f64> = jobs.iter().map(|job| job.delay.unwrap_or_default().as_secs_f64()).collect();
    sqlx::query!(
        "INSERT INTO apalis.jobs (id, job_type, job, status, attempts, max_attempts, run_at, priority, metadata)
         SELECT id, queue, payload, 'Pending', 0, max_attempts,
             -- The time of this statement, at the end of the transaction, and not that of its beginning: claims look for
             -- jobs that have become due lately, and a transaction may take long. Each job gets a time of its own.
             clock_timestamp() + make_interval(secs => delay), 0, ''::hstore
         FROM unnest($1::text[], $2::text[], $3::bytea[], $4::integer[], $5::float8[])
             AS t (id, queue, payload, max_attempts, delay)",
        &ids,
        &queues as &[&str],
        &payloads as &[&[u8]],
        &max_attempts,
        &delays
    )
    .execute(connection)
    .await?;
    Ok(())
}
