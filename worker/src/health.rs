//! The health of the process: recorded by its loops, read by probes and scrapers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cairn_core::admin::health;
use cairn_core::admin::metrics::{Metrics, WatchedPool};
use cairn_core::config::Config;
use cairn_core::db::observer_pool;
use cairn_core::queue::Queue;
use cairn_core::queue::lease::{Lease, Outcome};
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, Registry};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::metrics::{ReplyMetrics, WorkerMetrics};

/// The process is unready when heartbeats or polls, which normally happen every few seconds, have not happened for this
/// long.
const STALE_AFTER: Duration = Duration::from_secs(15);
/// How long the database may take to answer a probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// See the module.
pub(crate) struct WorkerHealth {
    /// What is served at `/metrics`.
    metrics: Metrics,
    worker: WorkerMetrics,
    pub(crate) replies: ReplyMetrics,
    /// Connections that jobs cannot use up.
    pub(crate) observer: PgPool,
    /// The pool of claims and heartbeats.
    leases: PgPool,
    heartbeat: LastSeen,
    listening: AtomicBool,
    queues: Vec<Arc<QueueHealth>>,
    stopping: CancellationToken,
}

impl WorkerHealth {
    /// For a process that processes the configured queues until `stopping`. `leases` is the pool of its claims, `pools`
    /// are all of its pools by name.
    pub(crate) fn new(
        config: &Config,
        leases: &PgPool,
        pools: Vec<WatchedPool>,
        stopping: CancellationToken,
    ) -> cairn_core::Result<Self> {
        let observer = observer_pool((*leases.connect_options()).clone());
        let metrics = Metrics::new("worker", observer.clone(), pools)?;
        let worker = WorkerMetrics::new(metrics.registry())?;
        let replies = ReplyMetrics::new(metrics.registry())?;
        let queues = config
            .worker_queues
            .iter()
            .map(|&(queue, concurrency)| Arc::new(QueueHealth::new(&worker, queue, concurrency)));
        Ok(Self {
            queues: queues.collect(),
            metrics,
            worker,
            replies,
            observer,
            leases: leases.clone(),
            heartbeat: LastSeen::default(),
            listening: AtomicBool::new(false),
            stopping,
        })
    }

    /// The configured queues.
    pub(crate) fn queues(&self) -> impl Iterator<Item = &Arc<QueueHealth>> {
        self.queues.iter()
    }

    /// Where the metrics of the process are registered.
    pub(crate) fn registry(&self) -> &Registry {
        self.metrics.registry()
    }

    /// Counts postponed jobs, by queue and reason.
    pub(crate) fn postponed(&self) -> IntCounterVec {
        self.worker.postponed.clone()
    }

    /// A heartbeat was stored.
    pub(crate) fn record_heartbeat(&self) {
        self.heartbeat.set();
    }

    /// Jobs were taken over from lost workers.
    pub(crate) fn record_rescued(&self, jobs: u64) {
        self.worker.rescued.inc_by(jobs);
    }

    /// The listener is connected, or no longer is.
    pub(crate) fn set_listening(&self, listening: bool) {
        self.listening.store(listening, Ordering::Relaxed);
    }

    /// Whether the listener is connected. The process is ready without it, because queues are polled too.
    pub(crate) fn is_listening(&self) -> bool {
        self.listening.load(Ordering::Relaxed)
    }

    /// The metrics as they are now.
    pub(crate) async fn render(&self) -> cairn_core::Result<String> {
        let seconds = |event: &LastSeen| event.age().map_or(f64::INFINITY, |age| age.as_secs_f64());
        self.worker.heartbeat_age.set(seconds(&self.heartbeat));
        self.worker.listener_up.set(self.is_listening().into());
        for queue in &self.queues {
            let age = if queue.is_full.load(Ordering::Relaxed) { 0.0 } else { seconds(&queue.last_poll) };
            self.worker.last_poll_age.with_label_values(&[queue.queue.name()]).set(age);
        }
        self.metrics.render().await
    }

    /// Why the process does not process jobs as it should; `None` if it does.
    pub(crate) async fn unreadiness(&self) -> Option<String> {
        if self.stopping.is_cancelled() {
            return Some("the worker is stopping".to_owned());
        }
        let probe = async { health::accepts_writes(&mut *self.leases.acquire().await?).await };
        match tokio::time::timeout(PROBE_TIMEOUT, probe).await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => return Some("the database does not accept writes".to_owned()),
            Ok(Err(_)) | Err(_) => return Some("the database does not answer".to_owned()),
        }
        let polled = self.queues.iter().filter(|queue| !queue.is_full.load(Ordering::Relaxed));
        let polls = polled.map(|queue| (queue.queue.name(), queue.last_poll.age())).collect::<HashMap<_, _>>();
        stale_reason(self.heartbeat.age(), &polls)
    }
}

/// What has not happened for too long. `polls` holds the queues that have free slots, and how long ago each was polled.
fn stale_reason(heartbeat: Option<Duration>, polls: &HashMap<&str, Option<Duration>>) -> Option<String> {
    let stale = |what: &str, age: Option<Duration>| match age {
        None => Some(format!("{what} yet")),
        Some(age) if age > STALE_AFTER => Some(format!("{what} for {} s", age.as_secs())),
        Some(_) => None,
    };
    stale("no heartbeat has been stored", heartbeat).or_else(|| {
        polls.iter().find_map(|(queue, age)| stale(&format!("the queue {queue} has not been polled"), *age))
    })
}

/// The health of one queue in this process.
pub(crate) struct QueueHealth {
    pub(crate) queue: Queue,
    /// How many of its jobs may run at once.
    pub(crate) concurrency: usize,
    worker: WorkerMetrics,
    /// When it was last polled, or when it last had a free slot again after it had none.
    last_poll: LastSeen,
    is_full: AtomicBool,
    started: IntCounter,
    running: IntGauge,
    start_latency: Histogram,
    lost: IntCounter,
    released: IntCounter,
}

impl QueueHealth {
    pub(crate) fn new(worker: &WorkerMetrics, queue: Queue, concurrency: usize) -> Self {
        let label = [queue.name()];
        worker.concurrency_limit.with_label_values(&label).set(i64::try_from(concurrency).unwrap_or(i64::MAX));
        Self {
            queue,
            concurrency,
            last_poll: LastSeen::default(),
            is_full: AtomicBool::new(false),
            started: worker.started.with_label_values(&label),
            running: worker.running.with_label_values(&label),
            start_latency: worker.start_latency.with_label_values(&label),
            lost: worker.lost.with_label_values(&label),
            released: worker.released.with_label_values(&label),
            worker: worker.clone(),
        }
    }

    /// The queue has free slots, or it has none and is therefore not polled.
    pub(crate) fn record_capacity(&self, has_free_slots: bool) {
        let was_full = self.is_full.swap(!has_free_slots, Ordering::Relaxed);
        if was_full && has_free_slots {
            self.last_poll.set();
        }
    }

    /// The queue was polled and these jobs were claimed.
    pub(crate) fn record_poll(&self, claimed: &[Lease]) {
        self.last_poll.set();
        for lease in claimed {
            self.start_latency.observe(lease.waited);
        }
    }

    /// A run starts.
    pub(crate) fn record_start(&self) {
        self.started.inc();
        self.running.inc();
    }

    /// A run has ended.
    pub(crate) fn record_end(&self, kind: &str, lease: &Lease, outcome: &Outcome, elapsed: Duration) {
        self.running.dec();
        let result = match outcome {
            Outcome::Done => "done",
            Outcome::Retry { .. } => "retry",
            Outcome::Snooze { .. } => "snooze",
            Outcome::Dead { .. } => "dead",
        };
        self.worker.finished.with_label_values(&[self.queue.name(), kind, result]).inc();
        self.worker.run_time.with_label_values(&[kind, result]).observe(elapsed.as_secs_f64());
        if matches!(outcome, Outcome::Done | Outcome::Dead { .. }) {
            self.worker.attempts.with_label_values(&[kind]).observe(lease.attempt.into());
        }
    }

    /// Runs ended here after their jobs had been given to another worker.
    pub(crate) fn record_lost(&self, runs: u64) {
        self.lost.inc_by(runs);
    }

    /// Jobs that had not started were released.
    pub(crate) fn record_released(&self, jobs: u64) {
        self.released.inc_by(jobs);
    }
}

/// The last time something happened. One task sets it, others read it.
#[derive(Default)]
struct LastSeen(Mutex<Option<Instant>>);

impl LastSeen {
    fn set(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// `None` if it has never happened.
    fn age(&self) -> Option<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).map(|at| at.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECENT: Option<Duration> = Some(Duration::from_millis(300));
    const STALE: Option<Duration> = Some(Duration::from_secs(16));

    #[test]
    fn a_stale_heartbeat_or_poll_is_named_as_the_reason() {
        assert_eq!(stale_reason(RECENT, &HashMap::from([("likes", RECENT)])), None);
        assert_eq!(stale_reason(STALE, &HashMap::new()).unwrap(), "no heartbeat has been stored for 16 s");
        assert_eq!(stale_reason(None, &HashMap::new()).unwrap(), "no heartbeat has been stored yet");
        for (age, says) in [(STALE, "for 16 s"), (None, "yet")] {
            let reason = stale_reason(RECENT, &HashMap::from([("likes", age), ("activity", RECENT)])).unwrap();
            assert_eq!(reason, format!("the queue likes has not been polled {says}"));
        }
    }

    #[test]
    fn a_queue_without_free_slots_is_not_expected_to_be_polled() {
        let worker = WorkerMetrics::new(&prometheus::Registry::new()).unwrap();
        let health = QueueHealth::new(&worker, Queue::Likes, 2);
        health.record_capacity(true);
        assert!(health.last_poll.age().is_none(), "it has not been polled yet");
        health.record_capacity(false);
        assert!(health.is_full.load(Ordering::Relaxed));
        health.record_capacity(true);
        assert!(health.last_poll.age().is_some(), "its time counts from here");
    }
}
