//! Claims the jobs of one queue.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cairn_core::db::{self, within};
use cairn_core::failpoint;
use cairn_core::queue::Queue;
use cairn_core::queue::claim::{self, LATE_LIMIT, Position};
use cairn_core::queue::lease::{self, Lease, LeaseKey};
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::leased::LEASE_LIMIT;
use super::leased::LeasedJobs;
use crate::health::QueueHealth;

/// How often a queue is polled when no notification comes.
pub(super) const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Pause after a failed claim.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// How old a claim has to be before its response counts as lost. Longer than any claim takes whose response still
/// arrives in time. A later response is not used.
pub(super) const CLAIM_ACK_TIMEOUT: Duration = Duration::from_secs(10);

/// How often late jobs are looked for, by one of all workers. They are found within twice that time.
const LATE_INTERVAL: Duration = Duration::from_secs(2);

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
    /// [`CLAIM_ACK_TIMEOUT`], except in tests.
    pub(super) ack_timeout: Duration,
    pub(super) progress: Mutex<Progress>,
}

/// How far the claims have come.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    position: Position,
    /// Jobs behind the position, which the next claim begins with.
    late: Vec<String>,
}

impl Producer {
    /// Starts claiming. When `stop` is cancelled, the jobs that have not started are released.
    pub(super) fn start(self) {
        let producer = Arc::new(self);
        tokio::spawn(producer.clone().claim());
        tokio::spawn(producer.clone().find_late());
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
        self.release(&self.leased.remove_waiting()).await;
        self.leased.close();
    }

    pub(super) async fn claim_once(&self, slots: usize) -> cairn_core::Result<usize> {
        let limit = i64::try_from(slots).unwrap_or(i64::MAX);
        let Progress { position, late } = self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let begun = Instant::now();
        let claim = async {
            let mut connection = db::acquire(&self.pool).await?;
            claim::claim_from(&mut connection, self.queue, &self.worker, limit, position, &late).await
        };
        let claimed = within(LEASE_LIMIT, claim).await?;
        let count = claimed.leases.len();
        self.advance(claimed.next, &late, count < slots, &claimed.leases);
        self.health.record_poll(&claimed.leases);
        if count > 0 {
            failpoint::pass(failpoint::AFTER_CLAIM);
            if let Err(unused) = self.leased.add(claimed.leases, begun, self.ack_timeout) {
                let keys: Vec<LeaseKey> = unused.iter().map(Lease::key).collect();
                tracing::warn!(
                    queue.name = self.queue.name(),
                    jobs.count = count,
                    "the answer to a claim came too late; releasing its jobs"
                );
                self.release(&keys).await;
            }
        }
        Ok(count)
    }

    /// Moves the position, and forgets the late jobs that a claim has tried to get. Those that somebody else held will be
    /// found again if they still wait.
    fn advance(&self, next: Position, tried: &[String], all: bool, claimed: &[Lease]) {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.position = next;
        progress.late.retain(|id| !tried.contains(id) || !(all || claimed.iter().any(|lease| lease.id == *id)));
    }

    /// Looks, from time to time, for the jobs that claims do not find because they begin at the position.
    async fn find_late(self: Arc<Self>) {
        let mut every = LATE_INTERVAL;
        while !self.stop.is_cancelled() {
            self.wait(std::future::pending(), every.min(LATE_INTERVAL / 2)).await;
            let found = within(LEASE_LIMIT, self.find_late_once(every)).await.unwrap_or_else(|error| {
                tracing::warn!(queue.name = self.queue.name(), error = %error, "cannot look for late jobs; trying again");
                0
            });
            // There may be more of them.
            every = if found < LATE_LIMIT { LATE_INTERVAL } else { Duration::from_millis(50) };
        }
    }

    /// Looks for late jobs, if this worker could run them and no other one has looked within `every`. Returns how many there are.
    pub(super) async fn find_late_once(&self, every: Duration) -> cairn_core::Result<usize> {
        let Progress { position, late } = self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if !late.is_empty() || self.leased.free_slots() == 0 || position == Position::default() {
            return Ok(late.len());
        }
        let mut connection = db::acquire(&self.pool).await?;
        if !claim::begin_search(&mut connection, self.queue, every).await? {
            return Ok(0);
        }
        let late = claim::find_late(&mut connection, self.queue, position).await?;
        drop(connection);
        let count = late.len();
        if count > 0 {
            tracing::debug!(queue.name = self.queue.name(), jobs.count = count, "found late jobs");
            self.progress.lock().unwrap_or_else(PoisonError::into_inner).late = late;
            self.wake.notify_one();
        }
        Ok(count)
    }

    /// Waits for the event, but at most for `limit`, and not once told to stop.
    async fn wait(&self, event: impl Future<Output = ()>, limit: Duration) {
        tokio::select! {
            () = event => {}
            () = tokio::time::sleep(limit) => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// Releases jobs that have not started. Their attempt does not count.
    async fn release(&self, leases: &[LeaseKey]) {
        if leases.is_empty() {
            return;
        }
        let result = async { lease::release(&mut *db::acquire(&self.pool).await?, &self.worker, leases).await };
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
                "could not release jobs that had not started; they are released later, or taken over by other workers"),
        }
    }

    /// Releases, from time to time, the jobs that the database has leased to this worker without this worker knowing:
    /// the response to their claim was lost.
    async fn release_unacknowledged(self: Arc<Self>) {
        while !self.stop.is_cancelled() {
            self.wait(std::future::pending(), self.ack_timeout / 2).await;
            match within(LEASE_LIMIT, self.release_unacknowledged_once()).await {
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

    pub(super) async fn release_unacknowledged_once(&self) -> cairn_core::Result<u64> {
        let mut connection = db::acquire(&self.pool).await?;
        let leased = || self.leased.keys();
        lease::release_unacknowledged(&mut connection, &self.worker, leased, self.ack_timeout).await
    }
}
