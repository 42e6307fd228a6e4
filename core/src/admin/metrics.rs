//! Metrics in the text format of Prometheus.
//!
//! Each service has its own registry instead of one per process, so that `cairn dev`, which runs two services, exports each on
//! its own port, and tests are independent. A service registers its own metrics. The metrics here are common to all services:
//! the process, the pools, the database, and the state of the queues in the database. The latter are the same on every process (take the maximum), so
//! that queues without a worker are visible too.

use std::time::{Duration, Instant};

use prometheus::{
    GaugeVec, IntGauge, IntGaugeVec, Registry, TextEncoder, register_gauge_vec_with_registry,
    register_int_gauge_vec_with_registry, register_int_gauge_with_registry,
};
use sqlx::PgPool;
use tokio::sync::Mutex;

pub use crate::admin::database_metrics::WatchedPool;
use crate::admin::database_metrics::{DatabaseGauges, PoolMetrics};
use crate::admin::health::{self, Stale};
use crate::admin::observation::{self, Observation};
use crate::admin::process::ProcessMetrics;
use crate::queue::Queue;
use crate::queue::queues::{self, QueueState};
use crate::settings::BudgetScope;
use crate::tools::budgets::{self, BudgetUse};
use crate::{Result, db, settings};

/// The content type of the output of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The buckets of histograms in seconds, from the time of a database query to that of a deadline.
pub const SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// How long the figures from the database are cached, however many scrapers there are.
const CACHE_TIME: Duration = Duration::from_secs(2);
/// How long the queries may take.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);

/// The metrics of one service.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    pools: Vec<WatchedPool>,
    connections: PoolMetrics,
    process: ProcessMetrics,
    database: DatabaseGauges,
    queues: QueueGauges,
    budgets: GaugeVec,
    /// Separate connections, which the service does not use otherwise.
    observer: PgPool,
    queried_at: Mutex<Option<Instant>>,
}

impl Metrics {
    /// The metrics of a service with these pools. The state of the queues is queried over `observer`.
    pub fn new(service: &str, observer: PgPool, pools: Vec<WatchedPool>) -> Result<Self> {
        let registry = Registry::new();
        let build = register_int_gauge_vec_with_registry!(
            "cairn_build_info",
            "1; its labels say what runs here.",
            &["service", "version"],
            registry
        )?;
        build.with_label_values(&[service, env!("CARGO_PKG_VERSION")]).set(1);
        Ok(Self {
            connections: PoolMetrics::new(&registry)?,
            process: ProcessMetrics::new(&registry)?,
            database: DatabaseGauges::new(&registry)?,
            queues: QueueGauges::new(&registry)?,
            budgets: register_gauge_vec_with_registry!(
                "cairn_ai_budget_used_ratio",
                "The spent part of a budget of the AI tools in its present period; those of learners are left out.",
                &["scope", "period", "unit"],
                registry
            )?,
            queried_at: Mutex::default(),
            registry,
            pools,
            observer,
        })
    }

    /// The registry in which the service registers its own metrics.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The current metrics as text. If the database does not answer, `cairn_database_up` is 0, and only its figures are missing.
    pub async fn render(&self) -> Result<String> {
        self.pools.iter().for_each(|pool| self.connections.show(pool));
        self.process.update();
        self.query().await;
        Ok(TextEncoder::new().encode_to_string(&self.registry.gather())?)
    }

    /// Of several budgets with the same labels, the one that is used most.
    fn show_budgets(&self, budgets: &[BudgetUse]) {
        self.budgets.reset();
        for used in budgets {
            let budget = used.budget;
            let labels = [budget.scope.name(), budget.period.name(), budget.unit.name()];
            let gauge = self.budgets.with_label_values(&labels);
            gauge.set(gauge.get().max(used.ratio()));
        }
    }

    /// Queries the database unless the figures are fresh. Concurrent callers wait for the same result.
    async fn query(&self) {
        let mut queried_at = self.queried_at.lock().await;
        if queried_at.is_some_and(|at| at.elapsed() < CACHE_TIME) {
            return;
        }
        let result = tokio::time::timeout(QUERY_TIMEOUT, query(&self.observer)).await;
        let result = result.unwrap_or_else(|_| Err(crate::Error::message("timed out")));
        match result {
            Ok(Figures { states, stale, observation, budgets }) => {
                self.show_budgets(&budgets);
                self.queues.show(&states, &stale);
                self.database.show(&observation);
            }
            Err(error) => {
                tracing::warn!(error = %error, "cannot query the database for metrics");
                self.queues.reset();
                self.database.reset();
                self.budgets.reset();
            }
        }
        *queried_at = Some(Instant::now());
    }
}

/// What the database was asked for.
struct Figures {
    states: Vec<QueueState>,
    stale: Stale,
    observation: Observation,
    budgets: Vec<BudgetUse>,
}

async fn query(pool: &PgPool) -> Result<Figures> {
    let mut connection = db::acquire(pool).await?;
    Ok(Figures {
        states: queues::overview(&mut connection).await?,
        stale: health::stale(&mut connection).await?,
        observation: observation::observe(&mut connection).await?,
        budgets: {
            let mut settings = settings::load(&mut connection).await?;
            // Who of all learners spent most takes longer to find out, and is no operator's business.
            settings.budgets.retain(|budget| budget.scope != BudgetScope::Learner);
            budgets::list(&mut connection, &settings).await?
        },
    })
}

/// The figures from the database.
#[derive(Debug)]
struct QueueGauges {
    up: IntGauge,
    jobs: IntGaugeVec,
    oldest_due: GaugeVec,
    paused: IntGaugeVec,
    workers: IntGaugeVec,
    oldest_stale: GaugeVec,
    stale_roadmaps: IntGaugeVec,
}

impl QueueGauges {
    fn new(registry: &Registry) -> Result<Self> {
        Ok(Self {
            up: register_int_gauge_with_registry!(
                "cairn_database_up",
                "1 if the database answered the last query for metrics.",
                registry
            )?,
            jobs: register_int_gauge_vec_with_registry!(
                "cairn_queue_jobs",
                "Stored jobs: due, scheduled (not due yet), retrying (waiting for the next attempt), running, dead.",
                &["queue", "state"],
                registry
            )?,
            oldest_due: register_gauge_vec_with_registry!(
                "cairn_queue_oldest_due_seconds",
                "How long the oldest due job has been waiting, 0 if none is due.",
                &["queue"],
                registry
            )?,
            paused: register_int_gauge_vec_with_registry!(
                "cairn_queue_paused",
                "1 if an operator paused the queue.",
                &["queue"],
                registry
            )?,
            workers: register_int_gauge_vec_with_registry!(
                "cairn_queue_workers",
                "Processes that work the queue, according to their heartbeats.",
                &["queue"],
                registry
            )?,
            oldest_stale: register_gauge_vec_with_registry!(
                "cairn_stale_marker_oldest_seconds",
                "Age of the oldest stale marker, 0 if none is stale.",
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
        self.reset();
        self.up.set(1);
        // Jobs in unknown queues should be noticed, but their names must not become labels.
        let known = |state: &QueueState| Queue::from_name(&state.name).map_or("other", Queue::name);
        for state in states {
            self.show_queue(known(state), state);
        }
        for (marker, seconds) in [("progress", stale.progress_seconds), ("likes", stale.likes_seconds)] {
            self.oldest_stale.with_label_values(&[marker]).set(seconds.unwrap_or(0.0).max(0.0));
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
        self.workers.with_label_values(&[name]).add(state.workers);
        self.paused.with_label_values(&[name]).add(state.paused_at.is_some().into());
        let oldest = self.oldest_due.with_label_values(&[name]);
        oldest.set(oldest.get().max(state.oldest_due_seconds.unwrap_or(0.0)));
    }

    /// Removes all figures, because outdated ones would look current.
    fn reset(&self) {
        self.up.set(0);
        self.jobs.reset();
        self.oldest_due.reset();
        self.paused.reset();
        self.workers.reset();
        self.oldest_stale.reset();
        self.stale_roadmaps.reset();
    }
}
