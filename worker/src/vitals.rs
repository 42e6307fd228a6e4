//! How the process is: written by its loops, read by probes and scrapers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cairn_core::admin::metrics::Metrics;
use cairn_core::config::Config;
use cairn_core::db::observer_pool;
use cairn_core::queue::Queue;
use cairn_core::queue::lease::{Lease, Outcome};
use prometheus::{Histogram, IntCounter, IntGauge};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::metrics::{ReplyMetrics, WorkerMetrics};

/// What should happen every second or every five, and has not for so long, is a reason not to be ready.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long the database may take to answer a probe.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// See the module.
pub(crate) struct Vitals {
    /// What is served at `/metrics`.
    metrics: Metrics,
    worker: WorkerMetrics,
    pub(crate) replies: ReplyMetrics,
    /// Connections that jobs cannot use up.
    pub(crate) observer: PgPool,
    heartbeat: Moment,
    listening: AtomicBool,
    queues: Vec<Arc<QueueVitals>>,
    stopping: CancellationToken,
}

impl Vitals {
    /// For a process that works the configured queues until `stopping`, with `leases` as the pool of its claims, and
    /// with all of `pools`, by name.
    pub(crate) fn new(
        config: &Config,
        leases: &PgPool,
        pools: Vec<(&'static str, PgPool)>,
        stopping: CancellationToken,
    ) -> cairn_core::Result<Self> {
        let observer = observer_pool((*leases.connect_options()).clone());
        let metrics = Metrics::new(observer.clone(), pools)?;
        let worker = WorkerMetrics::new(metrics.registry())?;
        let replies = ReplyMetrics::new(metrics.registry())?;
        let queues =
            config.worker_queues.iter().map(|&(queue, places)| Arc::new(QueueVitals::new(&worker, queue, places)));
        Ok(Self {
            queues: queues.collect(),
            metrics,
            worker,
            replies,
            observer,
            heartbeat: Moment::default(),
            listening: AtomicBool::new(false),
            stopping,
        })
    }

    /// The configured queues.
    pub(crate) fn queues(&self) -> impl Iterator<Item = &Arc<QueueVitals>> {
        self.queues.iter()
    }

    /// A heartbeat was stored.
    pub(crate) fn beaten(&self) {
        self.heartbeat.set();
    }

    /// Jobs were taken from lost workers.
    pub(crate) fn rescued(&self, jobs: u64) {
        self.worker.rescued.inc_by(jobs);
    }

    /// Whether the bell can be heard.
    pub(crate) fn listens(&self, listens: bool) {
        self.listening.store(listens, Ordering::Relaxed);
    }

    /// Whether the bell can be heard. No reason not to be ready: queues poll.
    pub(crate) fn is_listening(&self) -> bool {
        self.listening.load(Ordering::Relaxed)
    }

    /// The metrics as they are now.
    pub(crate) async fn render(&self) -> cairn_core::Result<String> {
        let seconds = |moment: &Moment| moment.age().map_or(f64::INFINITY, |age| age.as_secs_f64());
        self.worker.heartbeat_age.set(seconds(&self.heartbeat));
        self.worker.listener_up.set(self.is_listening().into());
        for queue in &self.queues {
            let age = if queue.is_full.load(Ordering::Relaxed) { 0.0 } else { seconds(&queue.looked) };
            self.worker.look_age.with_label_values(&[queue.queue.name()]).set(age);
        }
        self.metrics.render().await
    }

    /// Why the process does not take jobs as it should; `None` = it does.
    pub(crate) async fn unreadiness(&self) -> Option<String> {
        if self.stopping.is_cancelled() {
            return Some("the worker is stopping".to_owned());
        }
        let question = sqlx::query("SELECT 1").execute(&self.observer);
        if !matches!(tokio::time::timeout(ANSWER_LIMIT, question).await, Ok(Ok(_))) {
            return Some("the database does not answer".to_owned());
        }
        let looks = self.queues.iter().filter(|queue| !queue.is_full.load(Ordering::Relaxed));
        let looks = looks.map(|queue| (queue.queue.name(), queue.looked.age())).collect::<HashMap<_, _>>();
        silence(self.heartbeat.age(), &looks)
    }
}

/// What has not happened for too long. `looks` = the queues with free places, and how long ago each looked for work.
fn silence(heartbeat: Option<Duration>, looks: &HashMap<&str, Option<Duration>>) -> Option<String> {
    let silent = |what: &str, age: Option<Duration>| match age {
        None => Some(format!("{what} yet")),
        Some(age) if age > PATIENCE => Some(format!("{what} for {} s", age.as_secs())),
        Some(_) => None,
    };
    silent("no heartbeat has been stored", heartbeat).or_else(|| {
        looks
            .iter()
            .find_map(|(queue, age)| silent(&format!("the queue {queue} has not been able to look for work"), *age))
    })
}

/// How one queue is in this process.
pub(crate) struct QueueVitals {
    pub(crate) queue: Queue,
    /// How many of its jobs run at once.
    pub(crate) places: usize,
    worker: WorkerMetrics,
    /// When it last looked for work, or could have for the first time after it had no place for any.
    looked: Moment,
    is_full: AtomicBool,
    started: IntCounter,
    running: IntGauge,
    start_latency: Histogram,
    lost: IntCounter,
    handed_back: IntCounter,
}

impl QueueVitals {
    pub(crate) fn new(worker: &WorkerMetrics, queue: Queue, places: usize) -> Self {
        let label = [queue.name()];
        worker.places.with_label_values(&label).set(i64::try_from(places).unwrap_or(i64::MAX));
        Self {
            queue,
            places,
            looked: Moment::default(),
            is_full: AtomicBool::new(false),
            started: worker.started.with_label_values(&label),
            running: worker.running.with_label_values(&label),
            start_latency: worker.start_latency.with_label_values(&label),
            lost: worker.lost.with_label_values(&label),
            handed_back: worker.handed_back.with_label_values(&label),
            worker: worker.clone(),
        }
    }

    /// There is a place for work, or none.
    pub(crate) fn has_place(&self, has: bool) {
        let was_full = self.is_full.swap(!has, Ordering::Relaxed);
        if was_full && has {
            self.looked.set();
        }
    }

    /// The queue looked for work and found this.
    pub(crate) fn looked(&self, found: &[Lease]) {
        self.looked.set();
        for lease in found {
            self.start_latency.observe(lease.waited);
        }
    }

    /// A run begins.
    pub(crate) fn started(&self) {
        self.started.inc();
        self.running.inc();
    }

    /// A run is over.
    pub(crate) fn ended(&self, kind: &str, lease: &Lease, outcome: &Outcome, took: Duration) {
        self.running.dec();
        let result = match outcome {
            Outcome::Done => "done",
            Outcome::Retry { .. } => "retry",
            Outcome::Snooze { .. } => "snooze",
            Outcome::Dead { .. } => "dead",
        };
        self.worker.finished.with_label_values(&[self.queue.name(), kind, result]).inc();
        self.worker.run_time.with_label_values(&[kind, result]).observe(took.as_secs_f64());
        if matches!(outcome, Outcome::Done | Outcome::Dead { .. }) {
            self.worker.attempts.with_label_values(&[kind]).observe(lease.attempt.into());
        }
    }

    /// Runs ended here after their jobs had been given to another worker.
    pub(crate) fn lost(&self, runs: u64) {
        self.lost.inc_by(runs);
    }

    /// Jobs that had not started were handed back.
    pub(crate) fn handed_back(&self, jobs: u64) {
        self.handed_back.inc_by(jobs);
    }
}

/// A moment that one task sets and others look at.
#[derive(Default)]
struct Moment(Mutex<Option<Instant>>);

impl Moment {
    fn set(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// `None` = it has never been.
    fn age(&self) -> Option<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).map(|at| at.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Option<Duration> = Some(Duration::from_millis(300));
    const LONG_AGO: Option<Duration> = Some(Duration::from_secs(16));

    #[test]
    fn silence_is_a_reason_that_names_who_is_silent() {
        assert_eq!(silence(NOW, &HashMap::from([("likes", NOW)])), None);
        assert_eq!(silence(LONG_AGO, &HashMap::new()).unwrap(), "no heartbeat has been stored for 16 s");
        assert_eq!(silence(None, &HashMap::new()).unwrap(), "no heartbeat has been stored yet");
        for (age, says) in [(LONG_AGO, "for 16 s"), (None, "yet")] {
            let reason = silence(NOW, &HashMap::from([("likes", age), ("activity", NOW)])).unwrap();
            assert_eq!(reason, format!("the queue likes has not been able to look for work {says}"));
        }
    }

    #[test]
    fn a_queue_that_has_no_place_is_not_expected_to_look() {
        let worker = WorkerMetrics::new(&prometheus::Registry::new()).unwrap();
        let vitals = QueueVitals::new(&worker, Queue::Likes, 2);
        vitals.has_place(true);
        assert!(vitals.looked.age().is_none(), "it has not looked yet");
        vitals.has_place(false);
        assert!(vitals.is_full.load(Ordering::Relaxed));
        vitals.has_place(true);
        assert!(vitals.looked.age().is_some(), "its time counts from here");
    }
}
