//! What the worker counts. Labels are bounded: `kind` is one of the kinds there are or `unknown`.

use cairn_core::admin::metrics::SECONDS;
use cairn_core::tools::attempts::Usage;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
    register_gauge_vec_with_registry, register_gauge_with_registry, register_histogram_vec_with_registry,
    register_histogram_with_registry, register_int_counter_vec_with_registry, register_int_counter_with_registry,
    register_int_gauge_vec_with_registry, register_int_gauge_with_registry,
};

/// Up to the largest cap of attempts.
const ATTEMPTS: [f64; 7] = [1.0, 2.0, 3.0, 5.0, 10.0, 15.0, 25.0];

/// The counters of one process; clones count together.
#[derive(Clone)]
pub(crate) struct WorkerMetrics {
    pub(crate) started: IntCounterVec,
    pub(crate) finished: IntCounterVec,
    pub(crate) run_time: HistogramVec,
    pub(crate) attempts: HistogramVec,
    pub(crate) start_latency: HistogramVec,
    pub(crate) lost: IntCounterVec,
    pub(crate) handed_back: IntCounterVec,
    pub(crate) rescued: IntCounter,
    pub(crate) running: IntGaugeVec,
    pub(crate) places: IntGaugeVec,
    pub(crate) look_age: GaugeVec,
    pub(crate) heartbeat_age: Gauge,
    pub(crate) listener_up: IntGauge,
}

impl WorkerMetrics {
    pub(crate) fn new(registry: &Registry) -> cairn_core::Result<Self> {
        let counters = |name: &str, help: &str, labels: &[&str]| {
            register_int_counter_vec_with_registry!(name, help, labels, registry)
        };
        let gauges = |name: &str, help: &str| register_int_gauge_vec_with_registry!(name, help, &["queue"], registry);
        let histograms = |name: &str, help: &str, labels: &[&str], bounds: &[f64]| {
            register_histogram_vec_with_registry!(name, help, labels, bounds.to_vec(), registry)
        };
        Ok(Self {
            started: counters("cairn_jobs_started_total", "Runs begun.", &["queue"])?,
            finished: counters(
                "cairn_jobs_finished_total",
                "Runs ended: done, retry (failed, to be tried again), snooze (not yet), dead (given up).",
                &["queue", "kind", "result"],
            )?,
            run_time: histograms("cairn_job_run_seconds", "Time of a run.", &["kind", "result"], &SECONDS)?,
            attempts: histograms(
                "cairn_job_attempts",
                "Runs that a job took until it was done or dead.",
                &["kind"],
                &ATTEMPTS,
            )?,
            start_latency: histograms(
                "cairn_job_start_latency_seconds",
                "Time from when a job was due to when it was claimed, by the database's clock.",
                &["queue"],
                &SECONDS,
            )?,
            lost: counters(
                "cairn_jobs_lost_total",
                "Runs that ended after their job had been given to another worker.",
                &["queue"],
            )?,
            handed_back: counters(
                "cairn_jobs_handed_back_total",
                "Jobs that were claimed, not started, and handed back at a stop.",
                &["queue"],
            )?,
            rescued: register_int_counter_with_registry!(
                "cairn_jobs_rescued_total",
                "Jobs that this process took from workers that were lost.",
                registry
            )?,
            running: gauges("cairn_jobs_running", "Runs under way in this process.")?,
            places: gauges("cairn_worker_places", "Runs that this process may have under way at once.")?,
            look_age: register_gauge_vec_with_registry!(
                "cairn_worker_look_age_seconds",
                "Time since the queue last looked for work, 0 while it has no free place; +Inf = never.",
                &["queue"],
                registry
            )?,
            heartbeat_age: register_gauge_with_registry!(
                "cairn_worker_heartbeat_age_seconds",
                "Time since a heartbeat was stored; +Inf = never.",
                registry
            )?,
            listener_up: register_int_gauge_with_registry!(
                "cairn_worker_listener_up",
                "1 = notifications are heard; without them queues poll once a second.",
                registry
            )?,
        })
    }
}

/// What became of attempts at replies. Labels are bounded: `end` is `completed`, `interrupted`, `lost` or a reason's code.
#[derive(Clone)]
pub(crate) struct ReplyMetrics {
    ended: IntCounterVec,
    first_token: Histogram,
    tokens: IntCounterVec,
    pub(crate) stood_aside: IntCounter,
}

impl ReplyMetrics {
    pub(crate) fn new(registry: &Registry) -> cairn_core::Result<Self> {
        Ok(Self {
            ended: register_int_counter_vec_with_registry!(
                "cairn_reply_attempts_total",
                "Attempts at replies, by how they ended.",
                &["end"],
                registry
            )?,
            first_token: register_histogram_with_registry!(
                "cairn_reply_first_token_seconds",
                "Time from the start of an attempt to its first piece of text.",
                SECONDS.to_vec(),
                registry
            )?,
            tokens: register_int_counter_vec_with_registry!(
                "cairn_reply_tokens_total",
                "Tokens of attempts: prompt (of requests) and completion (of answers).",
                &["kind"],
                registry
            )?,
            stood_aside: register_int_counter_with_registry!(
                "cairn_reply_stood_aside_total",
                "Times that a reply was put off because the provider does not work and is left alone.",
                registry
            )?,
        })
    }

    /// Counts an attempt that has ended.
    pub(crate) fn count(&self, end: &str, usage: &Usage) {
        self.ended.with_label_values(&[end]).inc();
        if let Some(time) = usage.first_token {
            self.first_token.observe(time.as_secs_f64());
        }
        for (kind, tokens) in [("prompt", usage.prompt_tokens), ("completion", usage.completion_tokens)] {
            self.tokens.with_label_values(&[kind]).inc_by(tokens.and_then(|n| u64::try_from(n).ok()).unwrap_or(0));
        }
    }
}
