//! Pausing and resuming queues.

use crate::Result;
use crate::activity::{Action, Noun, Verb};
use crate::db::Tx;
use crate::queue::Queue;

/// Pauses a queue until it is resumed: workers claim none of its jobs, while running jobs continue. Returns `false` if it was
/// paused already.
///
/// Pausing [`Queue::Maintenance`] also stops housekeeping and the reconciler. Their ticks do not pile up in the meantime.
pub async fn pause(tx: &mut Tx, queue: Queue) -> Result<bool> {
    let paused = sqlx::query!(
        "INSERT INTO paused_queues (queue, paused_by) VALUES ($1, $2) ON CONFLICT (queue) DO NOTHING",
        queue.name(),
        tx.actor().user_id
    )
    .execute(&mut **tx)
    .await?;
    let changed = paused.rows_affected() == 1;
    if changed {
        record(tx, Verb::Paused, queue)?;
    }
    Ok(changed)
}

/// Resumes a queue. Returns `false` if it was not paused.
pub async fn resume(tx: &mut Tx, queue: Queue) -> Result<bool> {
    let resumed = sqlx::query!("DELETE FROM paused_queues WHERE queue = $1", queue.name()).execute(&mut **tx).await?;
    let changed = resumed.rows_affected() == 1;
    if changed {
        tx.notify_queue(queue);
        record(tx, Verb::Resumed, queue)?;
    }
    Ok(changed)
}

fn record(tx: &mut Tx, verb: Verb, queue: Queue) -> Result<()> {
    let pausing = verb == Verb::Paused;
    let details = serde_json::json!({
        "queue": queue.name(),
        "before": {"paused": !pausing},
        "after": {"paused": pausing},
    });
    tx.record(Action::new(Noun::Queue, verb).with(details))
}
