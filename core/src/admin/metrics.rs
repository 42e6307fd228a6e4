//! Metrics in the text format of Prometheus.
//!
//! Each service has a registry of its own instead of one for the process, so that `cairn dev`, which runs two, shows each
//! on its own port, and tests do not see each other. What a service counts itself is registered by it; here is what
//! every service shows: its pools, and what the database says of the queues when it is asked. The latter is the same
//! on every process (take the maximum), so that queues without a worker are still seen.

use std::time::{Duration, Instant};

use prometheus::{
    GaugeVec, IntGauge, IntGaugeVec, Registry, TextEncoder, register_gauge_vec_with_registry,
    register_int_gauge_vec_with_registry, register_int_gauge_with_registry,
};
use sqlx::PgPool;
use tokio::sync::Mutex;

use crate::Result;
use crate::admin::health::{self, Stale};
use crate::queue::Queue;
use crate::queue::queues::{self, QueueState};

/// The content type of what [`Metrics::render`] writes.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Bounds of histograms of seconds: from what a database needs to what a deadline allows.
pub const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// For so long the database is not asked again, however many scrapers come.
const FRESH: Duration = Duration::from_secs(2);
/// How long the database may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// The metrics of one service.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    pools: Vec<(&'static str, PgPool)>,
    connections: IntGaugeVec,
    connections_max: IntGaugeVec,
    queues: QueueGauges,
    /// Connections that are not taken from what the service works with.
    observer: PgPool,
    asked_at: Mutex<Option<Instant>>,
}

impl Metrics {
    /// The metrics of a service that works with these pools, by name. The database is asked over `observer`.
    pub fn new(observer: PgPool, pools: Vec<(&'static str, PgPool)>) -> Result<Self> {
        let registry = Registry::new();
        Ok(Self {
            connections: register_int_gauge_vec_with_registry!(
                "cairn_database_connections",
                "Open connections of this service.",
                &["pool", "state"],
                registry
            )?,
            connections_max: register_int_gauge_vec_with_registry!(
                "cairn_database_connections_max",
                "Connections that this service may open.",
                &["pool"],
                registry
            )?,
            queues: QueueGauges::new(&registry)?,
            asked_at: Mutex::default(),
            registry,
            pools,
            observer,
        })
    }

    /// Where the service registers what it counts.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Everything as it is now. A database that does not answer shows as `cairn_database_up 0`; the rest is there.
    pub async fn render(&self) -> Result<String> {
        for (name, pool) in &self.pools {
            let idle = i64::try_from(pool.num_idle()).unwrap_or(i64::MAX);
            self.connections.with_label_values(&[name, "idle"]).set(idle);
            self.connections.with_label_values(&[name, "in_use"]).set((i64::from(pool.size()) - idle).max(0));
            self.connections_max.with_label_values(&[name]).set(pool.options().get_max_connections().into());
        }
        self.ask().await;
        Ok(TextEncoder::new().encode_to_string(&self.registry.gather())?)
    }

    /// Asks the database, unless somebody just did; whoever comes meanwhile waits for that answer.
    async fn ask(&self) {
        let mut asked_at = self.asked_at.lock().await;
        if asked_at.is_some_and(|at| at.elapsed() < FRESH) {
            return;
        }
        let answer = tokio::time::timeout(ANSWER_LIMIT, look(&self.observer)).await;
        let answer = answer.unwrap_or_else(|_| Err(crate::Error::message("no answer in time")));
        match answer {
            Ok((states, stale)) => self.queues.show(&states, &stale),
            Err(error) => {
                tracing::warn!(error = %error, "the database cannot be asked for metrics");
                self.queues.show_nothing();
            }
        }
        *asked_at = Some(Instant::now());
    }
}

async fn look(pool: &PgPool) -> Result<(Vec<QueueState>, Stale)> {
    let mut connection = pool.acquire().await?;
    Ok((queues::overview(&mut connection).await?, health::stale(&mut connection).await?))
}

/// What the database says.
#[derive(Debug)]
struct QueueGauges {
    up: IntGauge,
    jobs: IntGaugeVec,
    oldest_due: GaugeVec,
    paused: IntGaugeVec,
    oldest_stale: GaugeVec,
    stale_roadmaps: IntGaugeVec,
}

impl QueueGauges {
    fn new(registry: &Registry) -> Result<Self> {
        Ok(Self {
            up: register_int_gauge_with_registry!(
                "cairn_database_up",
                "1 = the database answered when it was last asked for metrics.",
                registry
            )?,
            jobs: register_int_gauge_vec_with_registry!(
                "cairn_queue_jobs",
                "Stored jobs: due, scheduled (for later), retrying (waiting for the next attempt), running, dead.",
                &["queue", "state"],
                registry
            )?,
            oldest_due: register_gauge_vec_with_registry!(
                "cairn_queue_oldest_due_seconds",
                "For how long the job that has been due longest has waited; 0 = none is due.",
                &["queue"],
                registry
            )?,
            paused: register_int_gauge_vec_with_registry!(
                "cairn_queue_paused",
                "1 = an operator paused the queue.",
                &["queue"],
                registry
            )?,
            oldest_stale: register_gauge_vec_with_registry!(
                "cairn_stale_marker_oldest_seconds",
                "For how long the oldest stale marker has waited to be worked off; 0 = none is stale.",
                &["marker"],
                registry
            )?,
            stale_roadmaps: register_int_gauge_vec_with_registry!(
                "cairn_stale_roadmaps",
                "Roadmaps whose learners are being recomputed after a content change.",
                &[],
                registry
            )?,
        })
    }

    fn show(&self, states: &[QueueState], stale: &Stale) {
        self.show_nothing();
        self.up.set(1);
        // What nobody works is worth an alarm; its name is whatever somebody wrote.
        let known = |state: &QueueState| Queue::from_name(&state.name).map_or("other", Queue::name);
        for state in states {
            self.show_queue(known(state), state);
        }
        for (marker, seconds) in [("progress", stale.progress_seconds), ("likes", stale.likes_seconds)] {
            self.oldest_stale.with_label_values(&[marker]).set(seconds.unwrap_or(0.0));
        }
        self.stale_roadmaps.with_label_values::<&str>(&[]).set(stale.roadmaps);
    }

    fn show_queue(&self, name: &str, state: &QueueState) {
        for (label, count) in [
            ("due", state.due),
            ("scheduled", state.scheduled),
            ("retrying", state.retrying),
            ("running", state.running),
            ("dead", state.dead),
        ] {
            self.jobs.with_label_values(&[name, label]).add(count);
        }
        self.paused.with_label_values(&[name]).add(state.paused_at.is_some().into());
        let oldest = self.oldest_due.with_label_values(&[name]);
        oldest.set(oldest.get().max(state.oldest_due_seconds.unwrap_or(0.0)));
    }

    /// Old numbers would look like new ones.
    fn show_nothing(&self) {
        self.up.set(0);
        self.jobs.reset();
        self.oldest_due.reset();
        self.paused.reset();
        self.oldest_stale.reset();
        self.stale_roadmaps.reset();
    }
}
