//! The metrics of the pools, and of the database as a whole.

use prometheus::{
    CounterVec, Gauge, GaugeVec, IntCounterVec, IntGauge, IntGaugeVec, Registry, register_counter_vec_with_registry,
    register_gauge_vec_with_registry, register_gauge_with_registry, register_int_counter_vec_with_registry,
    register_int_gauge_vec_with_registry, register_int_gauge_with_registry,
};

use sqlx::PgPool;

use crate::Result;
use crate::admin::observation::Observation;
use crate::db::{Db, Waits};

/// A pool that metrics tell of.
#[derive(Clone, Debug)]
pub struct WatchedPool {
    /// Its name in the metrics.
    pub name: &'static str,
    /// The pool.
    pub pool: PgPool,
    /// How long others wait for its connections; `None` if nobody counts that.
    pub waits: Option<Waits>,
}

impl WatchedPool {
    /// The pool of a database.
    pub fn of(name: &'static str, db: &Db) -> Self {
        Self { name, pool: db.pool().clone(), waits: Some(db.waits().clone()) }
    }
}

/// The metrics of the pools of a service.
#[derive(Debug)]
pub(super) struct PoolMetrics {
    connections: IntGaugeVec,
    max: IntGaugeVec,
    waiting: IntGaugeVec,
    acquired: IntCounterVec,
    waited: CounterVec,
}

impl PoolMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self> {
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            register_int_gauge_vec_with_registry!(name, help, labels, registry)
        };
        Ok(Self {
            connections: gauges("cairn_database_connections", "Open connections of this service.", &["pool", "state"])?,
            max: gauges("cairn_database_connections_max", "Connections this service may open.", &["pool"])?,
            waiting: gauges("cairn_database_waiting", "Who waits for a connection now.", &["pool"])?,
            acquired: register_int_counter_vec_with_registry!(
                "cairn_database_acquires_total",
                "Waits for a connection that have ended: with one (ok), or without (failed).",
                &["pool", "result"],
                registry
            )?,
            waited: register_counter_vec_with_registry!(
                "cairn_database_acquire_seconds_total",
                "Time that was spent waiting for connections.",
                &["pool"],
                registry
            )?,
        })
    }

    /// Shows the current figures of a pool.
    pub(super) fn show(&self, WatchedPool { name, pool, waits }: &WatchedPool) {
        let idle = i64::try_from(pool.num_idle()).unwrap_or(i64::MAX);
        self.connections.with_label_values(&[name, "idle"]).set(idle);
        self.connections.with_label_values(&[name, "in_use"]).set((i64::from(pool.size()) - idle).max(0));
        self.max.with_label_values(&[name]).set(pool.options().get_max_connections().into());
        let Some(figures) = waits.as_ref().map(Waits::figures) else { return };
        self.waiting.with_label_values(&[name]).set(figures.waiting);
        for (result, count) in [("ok", figures.acquired), ("failed", figures.failed)] {
            let counter = self.acquired.with_label_values(&[name, result]);
            counter.inc_by(count.saturating_sub(counter.get()));
        }
        let waited = self.waited.with_label_values(&[name]);
        waited.inc_by((figures.waited.as_secs_f64() - waited.get()).max(0.0));
    }
}

/// What the database says of itself.
#[derive(Debug)]
pub(super) struct DatabaseGauges {
    writable: IntGauge,
    oldest_transaction: GaugeVec,
    replica_lag: GaugeVec,
    inactive_slots: IntGaugeVec,
    archive_failing: IntGaugeVec,
    clock_skew: Gauge,
    clock_behind: Gauge,
    schedules: GaugeVec,
}

impl DatabaseGauges {
    pub(super) fn new(registry: &Registry) -> Result<Self> {
        let gauges =
            |name: &str, help: &str, labels: &[&str]| register_gauge_vec_with_registry!(name, help, labels, registry);
        // With no label: a number that is not known is missing.
        let numbers = |name: &str, help: &str| register_int_gauge_vec_with_registry!(name, help, &[], registry);
        Ok(Self {
            writable: register_int_gauge_with_registry!(
                "cairn_database_writable",
                "1 if the database accepts writes, 0 if it refuses them or does not answer.",
                registry
            )?,
            oldest_transaction: gauges(
                "cairn_database_oldest_transaction_seconds",
                "Age of the oldest transaction, by the program that holds it and what its session does.",
                &["application", "state"],
            )?,
            replica_lag: gauges(
                "cairn_database_replica_lag_seconds",
                "How far the slowest replica is behind, missing without replicas.",
                &[],
            )?,
            inactive_slots: numbers(
                "cairn_database_inactive_slots",
                "Replication slots that nobody reads from, for which the server keeps its write-ahead log.",
            )?,
            archive_failing: numbers(
                "cairn_database_archive_failing",
                "1 if the archive does not take the write-ahead log: the last attempt has failed, or it is eight segments behind.",
            )?,
            clock_skew: register_gauge_with_registry!(
                "cairn_clock_skew_seconds",
                "How far the clocks of this process and of the database are apart.",
                registry
            )?,
            clock_behind: register_gauge_with_registry!(
                "cairn_clock_behind_seconds",
                "How far the clock of the database is behind times that it has stored.",
                registry
            )?,
            schedules: gauges(
                "cairn_schedule_age_seconds",
                "Time since a scheduled job was last enqueued, missing if it never was.",
                &["kind"],
            )?,
        })
    }

    pub(super) fn show(&self, observation: &Observation) {
        self.reset();
        self.writable.set(observation.is_writable.into());
        if let Some(oldest) = &observation.oldest {
            let labels = [oldest.application.as_str(), oldest.state.as_str()];
            self.oldest_transaction.with_label_values(&labels).set(oldest.seconds);
        }
        if let Some(lag) = observation.replica_lag_seconds {
            self.replica_lag.with_label_values::<&str>(&[]).set(lag);
        }
        self.inactive_slots.with_label_values::<&str>(&[]).set(observation.inactive_slots);
        self.archive_failing.with_label_values::<&str>(&[]).set(observation.is_archive_failing.into());
        self.clock_skew.set(observation.clock_skew_seconds);
        self.clock_behind.set(observation.clock_behind_seconds);
        for (kind, seconds) in &observation.schedules {
            if let Some(seconds) = seconds {
                self.schedules.with_label_values(&[kind]).set(*seconds);
            }
        }
    }

    /// Removes all figures, because outdated ones would look current.
    pub(super) fn reset(&self) {
        self.writable.set(0);
        self.oldest_transaction.reset();
        self.replica_lag.reset();
        self.inactive_slots.reset();
        self.archive_failing.reset();
        self.clock_skew.set(0.0);
        self.clock_behind.set(0.0);
        self.schedules.reset();
    }
}
