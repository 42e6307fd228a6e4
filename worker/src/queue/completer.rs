//! Stores how the jobs of one queue ended.

use std::sync::Arc;
use std::time::Duration;

use cairn_core::db::{self, within};
use cairn_core::failpoint;
use cairn_core::queue::lease::{self, Finished, Lease, Outcome};
use sqlx::PgPool;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::leased::LEASE_LIMIT;
use super::leased::{LeasedJobs, OUTCOME_BATCH};
use super::producer::POLL_INTERVAL;
use crate::health::QueueHealth;

/// How long storing outcomes is retried after the queue was told to stop.
const LAST_TRIES: Duration = Duration::from_secs(5);

/// Takes the outcomes of runs. They are stored in batches, and a batch that cannot be stored is tried again until it is
/// stored or the process ends.
#[derive(Clone)]
pub(crate) struct Completer {
    health: Arc<QueueHealth>,
    leased: Arc<LeasedJobs>,
    finished: mpsc::UnboundedSender<Finished>,
}

impl Completer {
    /// Starts the task that stores outcomes. It ends with the last clone of the completer.
    pub(super) fn start(
        health: Arc<QueueHealth>,
        worker: String,
        leased: Arc<LeasedJobs>,
        pool: PgPool,
        wake: Arc<Notify>,
        stop: CancellationToken,
    ) -> Self {
        // It holds no more outcomes than jobs are leased, and `LeasedJobs` bounds those.
        let (finished, ended) = mpsc::unbounded_channel();
        let store = Store { health: health.clone(), worker, leased: leased.clone(), pool, wake, stop };
        tokio::spawn(store.run(ended));
        Self { health, leased, finished }
    }

    /// Records how a run of this kind ended and how long it took. The job's slot is free at once.
    pub(crate) fn complete(&self, lease: &Lease, kind: &str, outcome: Outcome, elapsed: Duration) {
        self.health.record_end(kind, lease, &outcome, elapsed);
        self.leased.end_run();
        // The receiver lives as long as the sender.
        let _ = self.finished.send(lease.finished(outcome));
    }
}

/// The task that stores outcomes.
struct Store {
    health: Arc<QueueHealth>,
    worker: String,
    leased: Arc<LeasedJobs>,
    pool: PgPool,
    /// Wakes the producer.
    wake: Arc<Notify>,
    stop: CancellationToken,
}

impl Store {
    async fn run(self, mut ended: mpsc::UnboundedReceiver<Finished>) {
        let mut batch = Vec::with_capacity(OUTCOME_BATCH);
        while ended.recv_many(&mut batch, OUTCOME_BATCH).await > 0 {
            failpoint::pass(failpoint::BEFORE_ACK);
            self.store(&batch).await;
            self.leased.remove_ended(&batch);
            self.wake_when_due(&batch);
            batch.clear();
        }
    }

    /// Tries until the outcomes are stored, or for a while only once the queue has been told to stop.
    async fn store(&self, batch: &[Finished]) {
        let mut pause = Duration::from_millis(50);
        let mut stopped_for = Duration::ZERO;
        loop {
            let result = async { lease::finish(&mut *db::acquire(&self.pool).await?, &self.worker, batch).await };
            let error = match within(LEASE_LIMIT, result).await {
                Ok(stored) => return self.report_lost(batch.len() as u64 - stored),
                Err(error) => error,
            };
            tracing::warn!(queue.name = self.health.queue.name(), error = %error, "cannot store the outcomes of jobs; trying again");
            tokio::time::sleep(pause).await;
            if self.stop.is_cancelled() {
                stopped_for += pause;
                if stopped_for > LAST_TRIES {
                    return; // The jobs run again, without a second effect.
                }
            }
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    fn report_lost(&self, lost: u64) {
        if lost > 0 {
            self.health.record_lost(lost);
            tracing::warn!(
                queue.name = self.health.queue.name(),
                jobs.count = lost,
                "jobs ended here after they had been given to another worker"
            );
        }
    }

    /// Has the producer poll when jobs are due again sooner than its next poll.
    fn wake_when_due(&self, batch: &[Finished]) {
        let delays = batch.iter().filter_map(|finished| match finished.outcome {
            Outcome::Retry { delay, .. } | Outcome::Snooze { delay } if delay < POLL_INTERVAL => Some(delay),
            _ => None,
        });
        // After the longest of the delays, all of them are due.
        if let Some(delay) = delays.max() {
            let wake = self.wake.clone();
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                wake.notify_one();
            });
        }
    }
}
