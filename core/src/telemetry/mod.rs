//! Telemetry: logs and traces.

pub mod gen_ai;
mod otlp;
pub mod trace;

use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

pub use self::otlp::Traces;
use crate::config::{Config, ConfigError, LogFormat};

/// Starts logging to standard error. A second call does nothing.
pub fn init(config: &Config) {
    start(config, None);
}

/// Starts logging, and sends the spans of this process to the collector, if one is configured, under the name `service`. Must be
/// called within a runtime, which sends the spans. Call [`Traces::flush`] before the process ends.
pub fn init_service(config: &Config, service: &'static str) -> Result<Traces, ConfigError> {
    let traces = Traces::start(config, service)?;
    start(config, Some(&traces));
    Ok(traces)
}

fn start(config: &Config, traces: Option<&Traces>) {
    let filter = EnvFilter::try_new(&config.log).unwrap_or_else(|_| EnvFilter::new("info"));
    let layer =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let logs = match config.log_format {
        LogFormat::Text => layer.with_target(false).with_filter(filter).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_filter(filter).boxed(),
    };
    // Fails only if a subscriber is set already, which is kept then.
    let _ = tracing_subscriber::registry().with(traces.and_then(Traces::layer)).with(logs).try_init();
}
