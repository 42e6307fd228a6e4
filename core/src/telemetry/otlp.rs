//! Sends spans to a collector, in batches and in the background.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;
use tracing::{Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::registry::LookupSpan;

use crate::config::{Config, ConfigError};

/// How long sending one batch may take.
const DELIVERY_LIMIT: Duration = Duration::from_secs(5);
/// How long sending the last spans may take when the process ends.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);
/// How often a failing collector is logged.
const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// The spans that wait to be sent. Their number is limited: if the collector does not answer, spans are lost, but nothing is
/// delayed.
#[must_use = "spans that are not flushed are lost at the end of the process"]
#[derive(Debug, Default)]
pub struct Traces {
    /// `None` if no collector is configured.
    provider: Option<SdkTracerProvider>,
}

/// Whether this process has a collector.
static ON: AtomicBool = AtomicBool::new(false);

pub(super) fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

impl Traces {
    pub(super) fn start(config: &Config, service: &'static str) -> Result<Self, ConfigError> {
        let Some(endpoint) = &config.otlp_endpoint else { return Ok(Self::default()) };
        let wrong = |error: &dyn std::fmt::Display| ConfigError::new(format!("OTEL_EXPORTER_OTLP_ENDPOINT: {error}"));
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_http_client(Collector::new().map_err(|error| wrong(&error))?)
            .build()
            .map_err(|error| wrong(&error))?;
        let resource = Resource::builder()
            .with_service_name(service)
            .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        ON.store(true, Ordering::Relaxed);
        Ok(Self { provider: Some(provider) })
    }

    /// The layer that converts our own spans, with the errors and warnings logged within them.
    pub(super) fn layer<S>(&self) -> Option<impl Layer<S> + use<S>>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let filter = filter_fn(|metadata| {
            metadata.target().starts_with("cairn") && (metadata.is_span() || *metadata.level() <= Level::WARN)
        });
        let layer = tracing_opentelemetry::layer().with_tracer(self.provider.as_ref()?.tracer("cairn"));
        let layer = layer.with_location(false).with_threads(false).with_target(false).with_tracked_inactivity(false);
        Some(layer.with_filter(filter.with_max_level_hint(LevelFilter::INFO)))
    }

    /// Sends the pending spans. Takes at most 5 s.
    pub async fn flush(self) {
        let Some(provider) = self.provider else { return };
        let flushed = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH_LIMIT)).await;
        if !matches!(flushed, Ok(Ok(()))) {
            tracing::warn!(result = ?flushed, "cannot send the last spans");
        }
    }
}

/// A client of the collector. The exporter uses a thread without a runtime, so the requests run on ours.
#[derive(Debug)]
struct Collector {
    http: reqwest::Client,
    runtime: Handle,
    logged_at: Mutex<Option<Instant>>,
}

impl Collector {
    fn new() -> Result<Self, reqwest::Error> {
        // Fails if a provider is installed already, which is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().timeout(DELIVERY_LIMIT).user_agent("cairn").build()?;
        Ok(Self { http, runtime: Handle::current(), logged_at: Mutex::default() })
    }

    fn log_failure(&self, error: &HttpError) {
        let mut logged_at = self.logged_at.lock().unwrap_or_else(PoisonError::into_inner);
        if logged_at.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
            *logged_at = Some(Instant::now());
            let causes = std::iter::successors(Some(&**error as &dyn std::error::Error), |error| error.source());
            let error = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
            tracing::warn!(error, "cannot send spans to the collector; they are dropped");
        }
    }
}

async fn deliver(http: reqwest::Client, request: Request<Bytes>) -> Result<Response<Bytes>, reqwest::Error> {
    // The URL is removed from errors, which are logged, because it may contain credentials.
    let answer = http.execute(request.try_into()?).await;
    answer.and_then(reqwest::Response::error_for_status).map_err(reqwest::Error::without_url)?;
    // The body of the response is not needed.
    Ok(Response::new(Bytes::new()))
}

impl HttpClient for Collector {
    fn send_bytes<'client, 'answer>(
        &'client self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'answer>>
    where
        'client: 'answer,
        Self: 'answer,
    {
        Box::pin(async move {
            let delivery = self.runtime.spawn(deliver(self.http.clone(), request));
            let answer = delivery.await.map_err(HttpError::from).and_then(|answer| answer.map_err(HttpError::from));
            answer.inspect_err(|error| self.log_failure(error))
        })
    }
}
