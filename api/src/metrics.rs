//! What the API counts.

use std::time::Duration;

use cairn_core::admin::metrics::SECONDS;
use poem::http::{Method, StatusCode};
use prometheus::{
    HistogramVec, IntCounterVec, IntGauge, Registry, register_histogram_vec_with_registry,
    register_int_counter_vec_with_registry, register_int_gauge_with_registry,
};

use crate::streams::Streams;

/// Counters of requests. Labels are bounded: the route is an operation's template, and whatever belongs to none is
/// `other`.
#[derive(Clone, Debug)]
pub(crate) struct HttpMetrics {
    requests: IntCounterVec,
    seconds: HistogramVec,
    in_flight: IntGauge,
    streams: IntGauge,
    listener_up: IntGauge,
}

impl HttpMetrics {
    pub(crate) fn new(registry: &Registry) -> cairn_core::Result<Self> {
        Ok(Self {
            requests: register_int_counter_vec_with_registry!(
                "cairn_http_requests_total",
                "Requests answered.",
                &["method", "route", "status"],
                registry
            )?,
            seconds: register_histogram_vec_with_registry!(
                "cairn_http_request_seconds",
                "Time from a request's headers to its answer's.",
                &["method", "route"],
                SECONDS.to_vec(),
                registry
            )?,
            in_flight: register_int_gauge_with_registry!(
                "cairn_http_requests_in_flight",
                "Requests being answered.",
                registry
            )?,
            streams: register_int_gauge_with_registry!(
                "cairn_reply_streams",
                "Streams of replies that are open.",
                registry
            )?,
            listener_up: register_int_gauge_with_registry!(
                "cairn_api_listener_up",
                "1 = announcements of replies are heard, or nobody follows one.",
                registry
            )?,
        })
    }

    /// Takes the figures of the streams as they are now.
    pub(crate) fn look_at(&self, streams: &Streams) {
        let open = streams.open_count();
        self.streams.set(i64::try_from(open).unwrap_or(i64::MAX));
        self.listener_up.set((streams.hears() || open == 0).into());
    }

    /// Counts a request as being answered for as long as the guard lives, which ends also with a client that left.
    pub(crate) fn begin(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    pub(crate) fn answered(&self, method: &Method, route: &str, status: StatusCode, elapsed: Duration) {
        // Methods are whatever a client writes.
        let method = match *method {
            Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::PATCH | Method::DELETE => method.as_str(),
            _ => "other",
        };
        self.requests.with_label_values(&[method, route, status.as_str()]).inc();
        self.seconds.with_label_values(&[method, route]).observe(elapsed.as_secs_f64());
    }
}

/// See [`HttpMetrics::begin`].
pub(crate) struct InFlight(IntGauge);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
