//! Measures how long after a fault everything that was accepted before it has had its effect.

use std::time::{Duration, SystemTime};

use sqlx::PgPool;
use tokio::sync::mpsc;
use ulid::Ulid;

use crate::fault::Fault;

/// How often the queues are polled, which is the resolution of the measurement.
const POLL_INTERVAL: Duration = Duration::from_millis(250);

/// Measures what is in all queues but these until the sender of the times of faults is dropped and the platform has recovered from all of them.
pub(crate) async fn measure(
    pool: PgPool,
    queues_besides: &'static [&'static str],
    mut faults: mpsc::UnboundedReceiver<(SystemTime, Fault)>,
) -> Vec<(Duration, Fault)> {
    let mut open: Vec<(SystemTime, Fault)> = Vec::new();
    let mut recovered = Vec::new();
    let mut over = false;
    while !over || !open.is_empty() {
        loop {
            match faults.try_recv() {
                Ok(fault) => open.push(fault),
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    over = true;
                    break;
                }
            }
        }
        let polled = SystemTime::now();
        // While the database is unavailable, nothing has recovered.
        if let Ok(oldest) = oldest_unfinished(&pool, queues_besides).await {
            open.retain(|&(at, fault)| {
                let done = at < polled && oldest.is_none_or(|oldest| oldest > at);
                if done {
                    recovered.push((polled.duration_since(at).unwrap_or_default(), fault));
                }
                !done
            });
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    recovered.sort_unstable();
    recovered
}

/// When the oldest unfinished job was enqueued, according to its id.
async fn oldest_unfinished(pool: &PgPool, queues_besides: &[&str]) -> Result<Option<SystemTime>, sqlx::Error> {
    let id: Option<String> = sqlx::query_scalar(
        "SELECT min(id) FROM apalis.jobs
         WHERE job_type <> ALL ($1)
           AND (status IN ('Pending', 'Queued', 'Running') OR (status = 'Failed' AND attempts < max_attempts))",
    )
    .bind(queues_besides)
    .fetch_one(pool)
    .await?;
    Ok(id.and_then(|id| id.parse::<Ulid>().ok()).map(|id| id.datetime()))
}
