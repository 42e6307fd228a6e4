//! Book-keeping of the jobs that one queue of this process has leased.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use cairn_core::queue::lease::{Finished, Lease, LeaseKey};
use futures_util::task::AtomicWaker;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::health::QueueHealth;

/// How long a statement about leases may hold its connection, which may no longer answer. Well within the heartbeat timeout, so
/// that the next try is in time.
pub(crate) const LEASE_LIMIT: Duration = Duration::from_secs(5);

/// Most outcomes that one statement stores, and most that may wait for it while further jobs are claimed.
pub(super) const OUTCOME_BATCH: usize = 500;

/// The jobs that were claimed and whose outcome is not stored yet. They wait for a slot to start in, run, or have ended.
pub(crate) struct LeasedJobs {
    health: Arc<QueueHealth>,
    /// How many jobs may run at once.
    concurrency: usize,
    state: Mutex<State>,
    /// Wakes the apalis worker when jobs have been claimed.
    claimed: AtomicWaker,
    /// A slot has become free, or outcomes have been stored.
    freed: Notify,
    stored: Notify,
    /// Cancelled once nothing is claimed any more and jobs that had not started have been released.
    closed: CancellationToken,
}

#[derive(Default)]
struct State {
    /// Claimed and not started.
    waiting: VecDeque<Lease>,
    running: usize,
    /// Ended, with an outcome that is not stored.
    unstored: usize,
    /// All leases: of jobs that wait, run and have ended. The same job may be leased twice: while this process was suspended,
    /// the job was given away, and this process has claimed it again before its first run noticed.
    keys: HashSet<LeaseKey>,
}

impl LeasedJobs {
    pub(super) fn new(health: Arc<QueueHealth>) -> Self {
        Self {
            concurrency: health.concurrency,
            health,
            state: Mutex::default(),
            claimed: AtomicWaker::new(),
            freed: Notify::new(),
            stored: Notify::new(),
            closed: CancellationToken::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds jobs whose claim began at `begun`. Refuses them, and gives them back, if the response to the claim came after
    /// `ack_timeout`: by then they may have been released as unacknowledged, and be running elsewhere.
    pub(super) fn add(&self, leases: Vec<Lease>, begun: Instant, ack_timeout: Duration) -> Result<(), Vec<Lease>> {
        let mut state = self.state();
        if begun.elapsed() >= ack_timeout {
            return Err(leases);
        }
        state.keys.extend(leases.iter().map(Lease::key));
        state.waiting.extend(leases);
        drop(state);
        self.claimed.wake();
        Ok(())
    }

    /// The next job to start.
    pub(super) fn poll_start(&self, cx: &mut Context<'_>) -> Poll<Lease> {
        self.claimed.register(cx.waker());
        let mut state = self.state();
        let Some(lease) = state.waiting.pop_front() else { return Poll::Pending };
        state.running += 1;
        drop(state);
        self.health.record_start();
        Poll::Ready(lease)
    }

    /// A run has ended. Its slot is free, although its outcome is not stored yet.
    pub(super) fn end_run(&self) {
        let mut state = self.state();
        state.running -= 1;
        state.unstored += 1;
        drop(state);
        self.freed.notify_one();
    }

    /// The outcomes of runs have been stored, or storing them has been given up.
    pub(super) fn remove_ended(&self, ended: &[Finished]) {
        let mut state = self.state();
        state.unstored -= ended.len();
        for finished in ended {
            state.keys.remove(&finished.key());
        }
        drop(state);
        self.stored.notify_waiters();
        self.freed.notify_one();
    }

    /// Removes the jobs that have not started. Returns their leases.
    pub(super) fn remove_waiting(&self) -> Vec<LeaseKey> {
        let mut state = self.state();
        let keys: Vec<LeaseKey> = state.waiting.drain(..).map(|lease| lease.key()).collect();
        for key in &keys {
            state.keys.remove(key);
        }
        keys
    }

    /// All leases.
    pub(super) fn keys(&self) -> Vec<LeaseKey> {
        self.state().keys.iter().cloned().collect()
    }

    /// Waits until enough slots are free to be worth a claim: a quarter of them, or one. `None` means that `stop` was
    /// cancelled.
    pub(super) async fn wait_for_slots(&self, stop: &CancellationToken) -> Option<usize> {
        let enough = (self.concurrency / 4).max(1);
        loop {
            let freed = self.freed.notified();
            let free = self.free_slots();
            self.health.record_capacity(free >= enough);
            if free >= enough {
                return Some(free);
            }
            tokio::select! {
                () = freed => {}
                () = stop.cancelled() => return None,
            }
        }
    }

    /// How many jobs may be claimed now. When outcomes are stored more slowly than runs end, claims wait for them, so
    /// the number of leased jobs is bounded.
    pub(super) fn free_slots(&self) -> usize {
        let state = self.state();
        let slots = self.concurrency.saturating_sub(state.waiting.len() + state.running);
        slots.min((self.concurrency + OUTCOME_BATCH).saturating_sub(state.keys.len()))
    }

    /// From now on nothing is claimed.
    pub(super) fn close(&self) {
        self.closed.cancel();
    }

    /// Waits until nothing is claimed any more, jobs that had not started have been released, and the outcome of every
    /// run has been stored or given up.
    pub(super) async fn drained(&self) {
        self.closed.cancelled().await;
        loop {
            let stored = self.stored.notified();
            if self.state().unstored == 0 {
                return;
            }
            stored.await;
        }
    }
}
