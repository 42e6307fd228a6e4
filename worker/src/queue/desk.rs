//! The desk of one queue in one process: what is claimed, what runs, what is finished and not yet stored.
//!
//! A job is claimed only when there is a free place for it, so nothing waits in memory behind a long job, and not while too
//! many ends of runs are still to be stored. They are stored in groups; a group that cannot be stored is tried again until it is, or until the process ends.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use cairn_core::failpoint;
use cairn_core::queue::Queue;
use cairn_core::queue::lease::{self, Finished, Lease, Outcome};
use futures_util::task::AtomicWaker;
use sqlx::PgPool;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::vitals::QueueVitals;

/// Longest wait for a job when no bell rings.
const POLL: Duration = Duration::from_secs(1);

/// Most runs stored by one statement, and most that may wait for it while further jobs are claimed.
const GROUP: usize = 500;

/// Pause after a claim that failed.
const CLAIM_AGAIN: Duration = Duration::from_millis(250);

/// How old a claim is before its answer counts as lost. Longer than any claim takes that still arrives.
const GRACE: Duration = Duration::from_secs(10);

/// How long runs that cannot be stored are kept trying after the queue was told to stop.
const LAST_TRIES: Duration = Duration::from_secs(5);

/// See the module.
pub(crate) struct Desk {
    vitals: Arc<QueueVitals>,
    queue: Queue,
    places: usize,
    /// Name of this worker in the database; never used by another start.
    worker: String,
    jobs: Mutex<Jobs>,
    waker: AtomicWaker,
    freed: Notify,
    bell: Arc<Notify>,
    finished: mpsc::UnboundedSender<Finished>,
    stored: Notify,
    stop: CancellationToken,
    /// Nothing is claimed any more, and what had not started is handed back.
    closed: CancellationToken,
}

/// What this process knows to be its own.
#[derive(Default)]
struct Jobs {
    /// Claimed and not yet run.
    waiting: VecDeque<Lease>,
    /// How many run.
    running: usize,
    /// Ids of all that are claimed and whose end is not stored: waiting, running, finished.
    in_hand: HashSet<String>,
    /// How many are finished and not stored.
    unstored: usize,
}

impl Desk {
    /// Opens the desk: from now on jobs are claimed, until `stop`.
    pub(crate) fn open(
        vitals: Arc<QueueVitals>,
        worker: String,
        pool: PgPool,
        bell: Arc<Notify>,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let (finished, ended) = mpsc::unbounded_channel();
        let desk = Arc::new(Self {
            queue: vitals.queue,
            places: vitals.places,
            vitals,
            worker,
            jobs: Mutex::default(),
            waker: AtomicWaker::new(),
            freed: Notify::new(),
            bell,
            finished,
            stored: Notify::new(),
            stop,
            closed: CancellationToken::new(),
        });
        tokio::spawn(desk.clone().claim(pool.clone()));
        tokio::spawn(desk.clone().disown(pool.clone()));
        tokio::spawn(desk.clone().store(pool, ended));
        desk
    }

    /// The queue.
    pub(crate) fn queue(&self) -> Queue {
        self.queue
    }

    /// The next claimed job.
    pub(super) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Lease> {
        self.waker.register(cx.waker());
        let mut jobs = self.jobs();
        let Some(lease) = jobs.waiting.pop_front() else { return Poll::Pending };
        jobs.running += 1;
        drop(jobs);
        self.vitals.started();
        Poll::Ready(lease)
    }

    /// Takes note of how a run of this kind ended, and of how long it took; the place is free at once.
    pub(crate) fn finish(&self, lease: &Lease, kind: &str, outcome: Outcome, took: Duration) {
        self.vitals.ended(kind, lease, &outcome, took);
        {
            let mut jobs = self.jobs();
            jobs.running -= 1;
            jobs.unstored += 1;
        }
        // The other end lives as long as the desk.
        let _ = self.finished.send(lease.finished(outcome));
        self.freed.notify_one();
    }

    /// Returns when nothing is claimed any more, unstarted jobs are handed back, and everything that was finished is
    /// stored, or has been given up.
    pub(super) async fn settled(&self) {
        self.closed.cancelled().await;
        loop {
            let stored = self.stored.notified();
            if self.jobs().unstored == 0 {
                return;
            }
            stored.await;
        }
    }

    fn jobs(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Claims jobs for free places until told to stop, then hands back what has not started.
    async fn claim(self: Arc<Self>, pool: PgPool) {
        while !self.stop.is_cancelled() {
            let Some(places) = self.free_places().await else { break };
            match self.claim_once(&pool, places).await {
                // Fewer than asked for: nothing more is due now.
                Ok(claimed) if claimed < places => self.wait(self.bell.notified(), POLL).await,
                Ok(_) => {}
                Err(error) => {
                    // The database may have stored the claim all the same: then `disown` finds its jobs.
                    tracing::warn!(queue.name = self.queue.name(), error = %error, "cannot claim jobs, trying again");
                    self.wait(std::future::pending(), CLAIM_AGAIN).await;
                }
            }
        }
        self.hand_back(&pool).await;
        self.closed.cancel();
    }

    async fn claim_once(&self, pool: &PgPool, places: usize) -> cairn_core::Result<usize> {
        let limit = i64::try_from(places).unwrap_or(i64::MAX);
        let leases = lease::claim(&mut *pool.acquire().await?, self.queue, &self.worker, limit).await?;
        self.vitals.looked(&leases);
        let claimed = leases.len();
        if claimed > 0 {
            failpoint::pass(failpoint::AFTER_CLAIM);
            let mut jobs = self.jobs();
            jobs.in_hand.extend(leases.iter().map(|lease| lease.id.clone()));
            jobs.waiting.extend(leases);
            drop(jobs);
            self.waker.wake();
        }
        Ok(claimed)
    }

    /// Waits until enough places are free to be worth a statement: a quarter of them, or one. `None` = stop.
    async fn free_places(&self) -> Option<usize> {
        let enough = (self.places / 4).max(1);
        loop {
            let freed = self.freed.notified();
            let free = {
                let jobs = self.jobs();
                let places = self.places.saturating_sub(jobs.waiting.len() + jobs.running);
                // Should ends be stored more slowly than runs end, claims wait for them: what is in hand is bounded.
                places.min((self.places + GROUP).saturating_sub(jobs.in_hand.len()))
            };
            self.vitals.has_place(free >= enough);
            if free >= enough {
                return Some(free);
            }
            tokio::select! {
                () = freed => {}
                () = self.stop.cancelled() => return None,
            }
        }
    }

    async fn wait(&self, event: impl Future<Output = ()>, at_most: Duration) {
        tokio::select! {
            () = event => {}
            () = tokio::time::sleep(at_most) => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// Gives back, now and then, what is held under this name and not in hand: claims whose answer was lost.
    async fn disown(self: Arc<Self>, pool: PgPool) {
        while !self.stop.is_cancelled() {
            self.wait(std::future::pending(), GRACE / 2).await;
            let in_hand: Vec<String> = self.jobs().in_hand.iter().cloned().collect();
            let result = async { lease::disown(&mut *pool.acquire().await?, &self.worker, &in_hand, GRACE).await };
            match result.await {
                Ok(0) => {}
                Ok(n) => tracing::warn!(
                    queue.name = self.queue.name(),
                    jobs.count = n,
                    "gave back jobs whose claim was stored and whose answer was lost"
                ),
                Err(error) => tracing::warn!(queue.name = self.queue.name(), error = %error,
                    "cannot look for claims whose answer was lost, trying again"),
            }
        }
    }

    async fn hand_back(&self, pool: &PgPool) {
        let ids: Vec<String> = {
            let mut jobs = self.jobs();
            let ids: Vec<String> = jobs.waiting.drain(..).map(|lease| lease.id).collect();
            for id in &ids {
                jobs.in_hand.remove(id);
            }
            ids
        };
        if ids.is_empty() {
            return;
        }
        let result = async { lease::hand_back(&mut *pool.acquire().await?, &self.worker, &ids).await };
        match result.await {
            Ok(n) => {
                self.vitals.handed_back(n);
                tracing::info!(queue.name = self.queue.name(), jobs.count = n, "handed unstarted jobs back");
            }
            Err(error) => tracing::warn!(queue.name = self.queue.name(), error = %error,
                "could not hand unstarted jobs back; they are taken from this worker when it has ended"),
        }
    }

    /// Stores how runs ended.
    async fn store(self: Arc<Self>, pool: PgPool, mut ended: mpsc::UnboundedReceiver<Finished>) {
        let mut group = Vec::with_capacity(GROUP);
        while ended.recv_many(&mut group, GROUP).await > 0 {
            failpoint::pass(failpoint::BEFORE_ACK);
            self.store_group(&pool, &group).await;
            {
                let mut jobs = self.jobs();
                jobs.unstored -= group.len();
                for finished in &group {
                    jobs.in_hand.remove(&finished.id);
                }
            }
            self.stored.notify_waiters();
            self.freed.notify_one();
            self.ring_for(&group);
            group.clear();
        }
    }

    async fn store_group(&self, pool: &PgPool, group: &[Finished]) {
        let mut pause = Duration::from_millis(50);
        let mut stopped_for = Duration::ZERO;
        loop {
            let result = async { lease::finish(&mut *pool.acquire().await?, &self.worker, group).await };
            let error = match result.await {
                Ok(counted) => {
                    let lost = group.len() as u64 - counted;
                    if lost > 0 {
                        self.vitals.lost(lost);
                        tracing::warn!(
                            queue.name = self.queue.name(),
                            jobs.count = lost,
                            "jobs ended here after they had been given to another worker"
                        );
                    }
                    return;
                }
                Err(error) => error,
            };
            tracing::warn!(queue.name = self.queue.name(), error = %error, "cannot store how jobs ended, trying again");
            tokio::time::sleep(pause).await;
            if self.stop.is_cancelled() {
                stopped_for += pause;
                if stopped_for > LAST_TRIES {
                    return; // the jobs run again, with no second effect
                }
            }
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }

    /// Jobs that are due again sooner than the next poll are looked for at their time.
    fn ring_for(&self, group: &[Finished]) {
        let delays = group.iter().filter_map(|finished| match finished.outcome {
            Outcome::Retry { delay, .. } | Outcome::Snooze { delay } if delay < POLL => Some(delay),
            _ => None,
        });
        // The longest: then all are due.
        if let Some(delay) = delays.max() {
            let bell = self.bell.clone();
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                bell.notify_one();
            });
        }
    }
}
