//! The metrics of the worker. Labels are bounded: `kind` is a known kind of job or `unknown`.

use cairn_core::admin::metrics::SECONDS;
use cairn_core::tools::Citations;
use cairn_core::tools::attempts::Usage;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
    register_gauge_vec_with_registry, register_gauge_with_registry, register_histogram_vec_with_registry,
    register_histogram_with_registry, register_int_counter_vec_with_registry, register_int_counter_with_registry,
    register_int_gauge_vec_with_registry, register_int_gauge_with_registry,
};

/// Buckets up to the largest attempt limit.
const ATTEMPTS: [f64; 7] = [1.0, 2.0, 3.0, 5.0, 10.0, 15.0, 25.0];

/// The metrics of one process. Clones share their counters.
#[derive(Clone)]
pub(crate) struct WorkerMetrics {
    pub(crate) started: IntCounterVec,
    pub(crate) finished: IntCounterVec,
    pub(crate) run_time: HistogramVec,
    pub(crate) attempts: HistogramVec,
    pub(crate) start_latency: HistogramVec,
    pub(crate) lost: IntCounterVec,
    pub(crate) released: IntCounterVec,
    pub(crate) rescued: IntCounter,
    pub(crate) postponed: IntCounterVec,
    pub(crate) running: IntGaugeVec,
    pub(crate) concurrency_limit: IntGaugeVec,
    pub(crate) last_poll_age: GaugeVec,
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
            started: counters("cairn_jobs_started_total", "Runs started.", &["queue"])?,
            finished: counters(
                "cairn_jobs_finished_total",
                "Runs ended: done, retry (failed, to be retried), snooze (too early), dead (given up).",
                &["queue", "kind", "result"],
            )?,
            run_time: histograms("cairn_job_run_seconds", "Duration of a run.", &["kind", "result"], &SECONDS)?,
            attempts: histograms(
                "cairn_job_attempts",
                "Runs a job needed until it was done or dead.",
                &["kind"],
                &ATTEMPTS,
            )?,
            start_latency: histograms(
                "cairn_job_start_latency_seconds",
                "Time from a job being due to its claim, by the database's clock.",
                &["queue"],
                &SECONDS,
            )?,
            lost: counters(
                "cairn_jobs_lost_total",
                "Runs that ended after their job had been given to another worker.",
                &["queue"],
            )?,
            released: counters(
                "cairn_jobs_released_total",
                "Jobs claimed but not started, and released when the worker stopped.",
                &["queue"],
            )?,
            rescued: register_int_counter_with_registry!(
                "cairn_jobs_rescued_total",
                "Jobs this process took over from lost workers.",
                registry
            )?,
            postponed: counters(
                "cairn_jobs_postponed_total",
                "Runs that failed for a reason of the moment, which costs no attempt.",
                &["queue", "reason"],
            )?,
            running: gauges("cairn_jobs_running", "Runs in progress in this process.")?,
            concurrency_limit: gauges(
                "cairn_worker_concurrency_limit",
                "Runs this process may have in progress at once.",
            )?,
            last_poll_age: register_gauge_vec_with_registry!(
                "cairn_worker_last_poll_age_seconds",
                "Time since the queue was last polled, 0 while it has no free slot, +Inf if never.",
                &["queue"],
                registry
            )?,
            heartbeat_age: register_gauge_with_registry!(
                "cairn_worker_heartbeat_age_seconds",
                "Time since a heartbeat was stored, +Inf if never.",
                registry
            )?,
            listener_up: register_int_gauge_with_registry!(
                "cairn_worker_listener_up",
                "1 if the listener is connected; without it queues poll once a second.",
                registry
            )?,
        })
    }
}

/// How attempts at replies and try-outs ended. Labels are bounded: `end` is `completed`, `interrupted`, `lost` or a reason's code.
#[derive(Clone)]
pub(crate) struct ReplyMetrics {
    ended: IntCounterVec,
    first_token: Histogram,
    tokens: IntCounterVec,
    citations: IntCounterVec,
    pub(crate) deferred: IntCounter,
}

impl ReplyMetrics {
    pub(crate) fn new(registry: &Registry) -> cairn_core::Result<Self> {
        Ok(Self {
            ended: register_int_counter_vec_with_registry!(
                "cairn_reply_attempts_total",
                "Attempts at replies and try-outs, by how they ended.",
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
                "Tokens of reply attempts: prompt (requests) and completion (answers).",
                &["kind"],
                registry
            )?,
            citations: register_int_counter_vec_with_registry!(
                "cairn_reply_citations_total",
                "What completed answers cite: used (a source they were given) and invented (anything else).",
                &["kind"],
                registry
            )?,
            deferred: register_int_counter_with_registry!(
                "cairn_replies_deferred_total",
                "Replies deferred because the provider does not work and is not being called.",
                registry
            )?,
        })
    }

    /// Counts what a completed answer cites.
    pub(crate) fn count_citations(&self, citations: &Citations) {
        for (kind, count) in [("used", citations.used.len()), ("invented", citations.invented)] {
            self.citations.with_label_values(&[kind]).inc_by(u64::try_from(count).unwrap_or(0));
        }
    }

    /// Counts an ended attempt.
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
