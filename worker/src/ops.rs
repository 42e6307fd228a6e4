//! Health, metrics and the board of the worker process, on a separate, private port. Everything here is read-only.

use std::sync::Arc;
use std::time::Duration;

use cairn_core::admin::metrics;
use cairn_core::config::Ports;
use cairn_server::host::Hosts;
use cairn_server::{Limits, Private, Server, raise_descriptors};
use poem::http::StatusCode;
use poem::web::{Data, Json};
use poem::{EndpointExt, IntoResponse, Response, Route, get, handler};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::board;
use crate::health::WorkerHealth;

/// How long open pages may delay the end of the process.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(1);

/// Serves health, metrics and the board on `listener` until `stop`, to who may use the ports.
pub(crate) async fn serve(
    listener: TcpListener,
    ports: &Ports,
    health: Arc<WorkerHealth>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let routes =
        Route::new().at("/health/live", get(live)).at("/health/ready", get(ready)).at("/metrics", get(show_metrics));
    raise_descriptors();
    let token = ports.ops_token.as_ref().map(|token| token.expose().to_owned());
    let private = Private::new(board::add(routes).data(health), Hosts::private(&ports.ops_hosts), token);
    Server::new("ops", Limits::private()).run(listener, private, stop, SHUTDOWN_GRACE).await
}

/// Checks nothing beyond the process itself: restarting it would not help while the database is down.
#[handler]
fn live() -> Response {
    Json(json!({"status": "live"})).into_response()
}

/// Whether jobs are claimed as they should be. A listener that is disconnected is reported, but does not make the worker
/// unready, because queues are polled too.
#[handler]
async fn ready(health: Data<&Arc<WorkerHealth>>) -> Response {
    let listener = if health.is_listening() { "up" } else { "down" };
    match health.unreadiness().await {
        None => Json(json!({"status": "ready", "listener": listener})).into_response(),
        Some(reason) => Json(json!({"status": "not_ready", "reason": reason, "listener": listener}))
            .with_status(StatusCode::SERVICE_UNAVAILABLE)
            .into_response(),
    }
}

#[handler]
async fn show_metrics(health: Data<&Arc<WorkerHealth>>) -> Response {
    match health.render().await {
        Ok(text) => text.with_content_type(metrics::CONTENT_TYPE).into_response(),
        Err(error) => {
            tracing::error!(error = %error, "cannot render the metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
