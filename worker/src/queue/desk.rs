//! The desk of one queue in one process: what is claimed, what runs, what is finished and not yet stored.
//!
//! A job is claimed only when there is a free place for it, so nothing waits in memory behind a long job. How runs ended
//! is stored in groups; a group that cannot be stored is tried again until it is, or until the process ends.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use cairn_core::jobs::Queue;
use cairn_core::jobs::lease::{self, Finished, Lease, Outcome};
use futures_util::task::AtomicWaker;
use sqlx::PgPool;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::vitals::QueueVitals;

/// Longest wait for a job when no bell rings.
const POLL: Duration = Duration::from_secs(1);

/// Most runs stored by one statement.
const GROUP: usize = 500;

/// How long runs that cannot be stored are kept trying after the queue was told to stop.
const LAST_TRIES: Duration = Duration::from_secs(5);

/// See the module.
pub(crate) struct Desk {
    vitals: Arc<QueueVitals>,
    queue: Queue,
    places: usize,
    /// Name of this worker in the database; never used by another start.
    worker: String,
    /// Claimed and not yet run.
    waiting: Mutex<VecDeque<Lease>>,
    waker: AtomicWaker,
    /// Claimed and not yet finished, waiting ones included.
    held: AtomicUsize,
    freed: Notify,
    bell: Arc<Notify>,
    finished: mpsc::UnboundedSender<Finished>,
    /// Finished and not yet stored.
    unstored: AtomicUsize,
    stored: Notify,
    stop: CancellationToken,
    /// A claim failed: the worker is to end, and another to begin under a new name.
    broken: CancellationToken,
    /// Nothing is claimed any more, and what had not started is handed back.
    closed: CancellationToken,
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
            waiting: Mutex::default(),
            waker: AtomicWaker::new(),
            held: AtomicUsize::new(0),
            freed: Notify::new(),
            bell,
            finished,
            unstored: AtomicUsize::new(0),
            stored: Notify::new(),
            stop,
            broken: CancellationToken::new(),
            closed: CancellationToken::new(),
        });
        tokio::spawn(desk.clone().claim(pool.clone()));
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
        let Some(lease) = self.waiting().pop_front() else { return Poll::Pending };
        self.vitals.started();
        Poll::Ready(lease)
    }

    /// Takes note of how a run of this kind ended, and of how long it took; the place is free at once.
    pub(crate) fn finish(&self, lease: &Lease, kind: &str, outcome: Outcome, took: Duration) {
        self.vitals.ended(kind, lease, &outcome, took);
        self.unstored.fetch_add(1, Ordering::AcqRel);
        let finished = Finished { id: lease.id.clone(), attempt: lease.attempt, outcome };
        if self.finished.send(finished).is_err() {
            self.unstored.fetch_sub(1, Ordering::AcqRel);
        }
        self.release(1);
    }

    /// Returns when a claim has failed and this name must not be used any longer.
    pub(crate) async fn broken(&self) {
        self.broken.cancelled().await;
    }

    /// Returns when nothing is claimed any more, unstarted jobs are handed back, and everything that was finished is
    /// stored, or has been given up.
    pub(super) async fn settled(&self) {
        self.closed.cancelled().await;
        loop {
            let stored = self.stored.notified();
            if self.unstored.load(Ordering::Acquire) == 0 {
                return;
            }
            stored.await;
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, VecDeque<Lease>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn release(&self, n: usize) {
        self.held.fetch_sub(n, Ordering::AcqRel);
        self.freed.notify_one();
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
                    // The database may have stored the claim and only its answer was lost: then jobs are held under
                    // this name that nobody here knows of. So the name is given up, and they are rescued from it.
                    tracing::warn!(queue.name = self.queue.name(), error = %error, "cannot claim jobs under this name any more");
                    self.broken.cancel();
                    break;
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
            self.held.fetch_add(claimed, Ordering::AcqRel);
            self.waiting().extend(leases);
            self.waker.wake();
        }
        Ok(claimed)
    }

    /// Waits until enough places are free to be worth a statement: a quarter of them, or one. `None` = stop.
    async fn free_places(&self) -> Option<usize> {
        let enough = (self.places / 4).max(1);
        loop {
            let freed = self.freed.notified();
            let free = self.places - self.held.load(Ordering::Acquire).min(self.places);
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

    async fn hand_back(&self, pool: &PgPool) {
        let ids: Vec<String> = self.waiting().drain(..).map(|lease| lease.id).collect();
        if ids.is_empty() {
            return;
        }
        self.release(ids.len());
        let result = async { lease::hand_back(&mut *pool.acquire().await?, &self.worker, &ids).await };
        match result.await {
            Ok(n) => {
                self.vitals.handed_back(n);
                tracing::info!(queue.name = self.queue.name(), jobs.count = n, "handed unstarted jobs back");
            }
            Err(error) => tracing::warn!(queue.name = self.queue.name(), error = %error,
                "could not hand unstarted jobs back; they are rescued when this worker has been silent"),
        }
    }

    /// Stores how runs ended.
    async fn store(self: Arc<Self>, pool: PgPool, mut ended: mpsc::UnboundedReceiver<Finished>) {
        let mut group = Vec::with_capacity(GROUP);
        while ended.recv_many(&mut group, GROUP).await > 0 {
            self.store_group(&pool, &group).await;
            self.unstored.fetch_sub(group.len(), Ordering::AcqRel);
            self.stored.notify_waiters();
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
}
