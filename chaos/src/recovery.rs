//! How long after a blow everything that was accepted before it has had its effect.

use std::time::{Duration, SystemTime};

use sqlx::PgPool;
use tokio::sync::mpsc;
use ulid::Ulid;

/// How often the queues are looked at: the resolution of what is measured.
const LOOK: Duration = Duration::from_millis(250);

/// Measures until the sender of blows is dropped and all are recovered from.
pub(crate) async fn measure(pool: PgPool, mut blows: mpsc::UnboundedReceiver<SystemTime>) -> Vec<Duration> {
    let mut open: Vec<SystemTime> = Vec::new();
    let mut recovered = Vec::new();
    let mut over = false;
    while !over || !open.is_empty() {
        loop {
            match blows.try_recv() {
                Ok(blow) => open.push(blow),
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    over = true;
                    break;
                }
            }
        }
        let looked = SystemTime::now();
        // While the database is away nothing has recovered.
        if let Ok(oldest) = oldest_unfinished(&pool).await {
            open.retain(|&blow| {
                let done = blow < looked && oldest.is_none_or(|oldest| oldest > blow);
                if done {
                    recovered.push(looked.duration_since(blow).unwrap_or_default());
                }
                !done
            });
        }
        tokio::time::sleep(LOOK).await;
    }
    recovered.sort_unstable();
    recovered
}

/// When the oldest job that is not finished was enqueued, as its id tells.
async fn oldest_unfinished(pool: &PgPool) -> Result<Option<SystemTime>, sqlx::Error> {
    let id: Option<String> = sqlx::query_scalar(
        "SELECT min(id) FROM apalis.jobs
         WHERE job_type <> 'maintenance'
           AND (status IN ('Pending', 'Queued', 'Running') OR (status = 'Failed' AND attempts < max_attempts))",
    )
    .fetch_one(pool)
    .await?;
    Ok(id.and_then(|id| id.parse::<Ulid>().ok()).map(|id| id.datetime()))
}
