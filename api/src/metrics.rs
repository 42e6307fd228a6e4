//! The metrics of the API.

use std::time::Duration;

use cairn_core::Transient;
use cairn_core::admin::metrics::SECONDS;
use cairn_core::users::passwords::HashStats;
use cairn_server::Counts;
use poem::http::{Method, StatusCode};
use prometheus::{
    HistogramVec, IntCounter, IntCounterVec, IntGauge, Registry, register_histogram_vec_with_registry,
    register_int_counter_vec_with_registry, register_int_counter_with_registry, register_int_gauge_with_registry,
};

use crate::streams::Streams;

/// The metrics of one process. Labels are bounded: the route is the template of an operation, or `other`.
#[derive(Clone, Debug)]
pub(crate) struct HttpMetrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
    in_flight: IntGauge,
    repeated: IntCounterVec,
    streams: IntGauge,
    listener_up: IntGauge,
    connections: IntGauge,
    connections_ended: IntCounterVec,
    answers_abandoned: IntCounter,
    hashes_waiting: IntGauge,
    hashes_shed: IntCounter,
    hashes_skipped: IntCounter,
}

impl HttpMetrics {
    pub(crate) fn new(registry: &Registry) -> cairn_core::Result<Self> {
        Ok(Self {
            requests: register_int_counter_vec_with_registry!(
                "cairn_http_requests_total",
                "Requests that were answered.",
                &["method", "route", "status"],
                registry
            )?,
            seconds: register_histogram_vec_with_registry!(
                "cairn_http_request_seconds",
                "Time from the headers of a request to the headers of its response.",
                &["method", "route"],
                SECONDS.to_vec(),
                registry
            )?,
            in_flight: register_int_gauge_with_registry!(
                "cairn_http_requests_in_flight",
                "Requests in progress.",
                registry
            )?,
            repeated: register_int_counter_vec_with_registry!(
                "cairn_http_requests_repeated_total",
                "Requests whose transaction failed for a reason of the moment and was done again.",
                &["reason"],
                registry
            )?,
            streams: register_int_gauge_with_registry!(
                "cairn_reply_streams",
                "Open streams of replies and of events.",
                registry
            )?,
            listener_up: register_int_gauge_with_registry!(
                "cairn_api_listener_up",
                "1 if the listener is connected or no stream is open.",
                registry
            )?,
            connections: register_int_gauge_with_registry!(
                "cairn_http_connections",
                "Open connections of the API.",
                registry
            )?,
            connections_ended: register_int_counter_vec_with_registry!(
                "cairn_http_connections_ended_total",
                "Connections that a limit ended: refused because there were too many, replaced by a new one while they waited for a \
                 request, or timed_out without one.",
                &["reason"],
                registry
            )?,
            answers_abandoned: register_int_counter_with_registry!(
                "cairn_http_answers_abandoned_total",
                "Answers that were given up because their client took nothing of them.",
                registry
            )?,
            hashes_waiting: register_int_gauge_with_registry!(
                "cairn_password_hashes_waiting",
                "Passwords that wait to be hashed or checked.",
                registry
            )?,
            hashes_shed: register_int_counter_with_registry!(
                "cairn_password_hashes_shed_total",
                "Requests that were refused because too many passwords were waiting to be hashed.",
                registry
            )?,
            hashes_skipped: register_int_counter_with_registry!(
                "cairn_password_hashes_skipped_total",
                "Passwords that were not hashed because the client had left.",
                registry
            )?,
        })
    }

    /// Records the current figures of the streams.
    pub(crate) fn record_streams(&self, streams: &Streams) {
        let open = streams.open_count();
        self.streams.set(i64::try_from(open).unwrap_or(i64::MAX));
        self.listener_up.set((streams.is_listening() || open == 0).into());
    }

    /// Records what the server did with connections so far.
    pub(crate) fn record_connections(&self, counts: Counts) {
        self.connections.set(i64::try_from(counts.open).unwrap_or(i64::MAX));
        for (reason, count) in
            [("refused", counts.refused), ("replaced", counts.replaced), ("timed_out", counts.timed_out)]
        {
            raise(&self.connections_ended.with_label_values(&[reason]), count);
        }
        raise(&self.answers_abandoned, counts.abandoned);
    }

    /// Records the current figures of the hash queue.
    pub(crate) fn record_hashes(&self, stats: HashStats) {
        self.hashes_waiting.set(i64::try_from(stats.waiting).unwrap_or(i64::MAX));
        raise(&self.hashes_shed, stats.shed);
        raise(&self.hashes_skipped, stats.skipped);
    }

    /// Counts a request as in progress for as long as the guard lives. The guard is also dropped when the client disconnects.
    pub(crate) fn begin(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// A request is done again.
    pub(crate) fn record_repeated(&self, reason: Transient) {
        self.repeated.with_label_values(&[reason.name()]).inc();
    }

    pub(crate) fn answered(&self, method: &Method, route: &str, status: StatusCode, elapsed: Duration) {
        // Clients may send any method.
        let method = match *method {
            Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::PATCH | Method::DELETE => method.as_str(),
            _ => "other",
        };
        self.requests.with_label_values(&[method, route, status.as_str()]).inc();
        self.seconds.with_label_values(&[method, route]).observe(elapsed.as_secs_f64());
    }
}

/// Raises a counter to what was counted elsewhere.
fn raise(counter: &IntCounter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}

/// See [`HttpMetrics::begin`].
pub(crate) struct InFlight(IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
