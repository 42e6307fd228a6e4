//! Claims the jobs of one queue.

use std::sync::Arc;
use std::time::Duration;

use cairn_core::db::{self, within};
use cairn_core::failpoint;
use cairn_core::queue::Queue;
use cairn_core::queue::lease;
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::LEASE_LIMIT;
use super::leased::LeasedJobs;
use crate::health::QueueHealth;

/// How often a queue is polled when no notification comes.
pub(super) const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Pause after a failed claim.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// How old a claim has to be before its response counts as lost. Longer than any claim takes whose response still
/// arrives.
const CLAIM_ACK_TIMEOUT: Duration = Duration::from_secs(10);

/// Claims a job only when there is a free slot for it, so that no job waits in memory behind a long one, and not while too
/// many outcomes are still to be stored.
pub(super) struct Producer {
    pub(super) queue: Queue,
    pub(super) health: Arc<QueueHealth>,
    /// The name of this worker in the database.
    pub(super) worker: String,
    pub(super) leased: Arc<LeasedJobs>,
    pub(super) pool: PgPool,
    /// Notified when the queue has new jobs.
    pub(super) wake: Arc<Notify>,
    pub(super) stop: CancellationToken,
}

impl Producer {
    /// Starts claiming. When `stop` is cancelled, the jobs that have not started are released.
    pub(super) fn start(self) {
        let producer = Arc::new(self);
        tokio::spawn(producer.clone().claim());
        tokio::spawn(producer.release_unacknowledged());
    }

    /// Claims jobs for free slots until told to stop, then releases those that have not started.
    async fn claim(self: Arc<Self>) {
        while !self.stop.is_cancelled() {
            let Some(slots) = self.leased.wait_for_slots(&self.stop).await else { break };
            match self.claim_once(slots).await {
                // Fewer jobs than requested: no others are due now.
                Ok(claimed) if claimed < slots => self.wait(self.wake.notified(), POLL_INTERVAL).await,
                Ok(_) => {}
                Err(error) => {
                    // The database may have stored the claim nevertheless. `release_unacknowledged` finds its jobs.
                    tracing::warn!(queue.name = self.queue.name(), error = %error, "cannot claim jobs; trying again");
                    self.wait(std::future::pending(), RETRY_PAUSE).await;
                }
            }
        }
        self.release().await;
        self.leased.close();
    }

    async fn claim_once(&self, slots: usize) -> cairn_core::Result<usize> {
        let limit = i64::try_from(slots).unwrap_or(i64::MAX);
        let claim = async { lease::claim(&mut *db::acquire(&self.pool).await?, self.queue, &self.worker, limit).await };
        let leases = within(LEASE_LIMIT, claim).await?;
        self.health.record_poll(&leases);
        let claimed = leases.len();
        if claimed > 0 {
            failpoint::pass(failpoint::AFTER_CLAIM);
            self.leased.add(leases);
        }
        Ok(claimed)
    }

    /// Waits for the event, but at most for `limit`, and not once told to stop.
    async fn wait(&self, event: impl Future<Output = ()>, limit: Duration) {
        tokio::select! {
            () = event => {}
            () = tokio::time::sleep(limit) => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// Releases the jobs that have not started. Their attempt does not count.
    async fn release(&self) {
        let ids = self.leased.remove_waiting();
        if ids.is_empty() {
            return;
        }
        let result = async { lease::release(&mut *db::acquire(&self.pool).await?, &self.worker, &ids).await };
        match within(LEASE_LIMIT, result).await {
            Ok(released) => {
                self.health.record_released(released);
                tracing::info!(
                    queue.name = self.queue.name(),
                    jobs.count = released,
                    "released jobs that had not started"
                );
            }
            Err(error) => tracing::warn!(queue.name = self.queue.name(), error = %error,
                "could not release jobs that had not started; other workers take them over when this one has ended"),
        }
    }

    /// Releases, from time to time, the jobs that the database has leased to this worker without this worker knowing:
    /// the response to their claim was lost.
    async fn release_unacknowledged(self: Arc<Self>) {
        while !self.stop.is_cancelled() {
            self.wait(std::future::pending(), CLAIM_ACK_TIMEOUT / 2).await;
            let leased = self.leased.ids();
            let result = async {
                lease::release_unacknowledged(
                    &mut *db::acquire(&self.pool).await?,
                    &self.worker,
                    &leased,
                    CLAIM_ACK_TIMEOUT,
                )
                .await
            };
            match within(LEASE_LIMIT, result).await {
                Ok(0) => {}
                Ok(released) => tracing::warn!(
                    queue.name = self.queue.name(),
                    jobs.count = released,
                    "released jobs whose claim was stored but never acknowledged"
                ),
                Err(error) => tracing::warn!(queue.name = self.queue.name(), error = %error,
                    "cannot look for unacknowledged claims; trying again"),
            }
        }
    }
}
