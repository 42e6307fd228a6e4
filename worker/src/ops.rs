//! Health, metrics and the board of the worker process, on a port of its own that is not for the public. Nothing here
//! writes.

use std::sync::Arc;
use std::time::Duration;

use cairn_core::admin::metrics;
use poem::http::StatusCode;
use poem::listener::TcpAcceptor;
use poem::web::{Data, Json};
use poem::{EndpointExt, IntoResponse, Response, Route, Server, get, handler};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::board;
use crate::vitals::Vitals;

/// How long open pages may keep the process from ending.
const LAST_ANSWERS: Duration = Duration::from_secs(1);

/// Serves on `listener` until `stop`.
pub(crate) async fn serve(listener: TcpListener, vitals: Arc<Vitals>, stop: CancellationToken) -> std::io::Result<()> {
    tracing::info!(ops.addr = ?listener.local_addr().ok(), "health, metrics and the board are served");
    let routes =
        Route::new().at("/health/live", get(live)).at("/health/ready", get(ready)).at("/metrics", get(show_metrics));
    Server::new_with_acceptor(TcpAcceptor::from_tokio(listener)?)
        .name("ops")
        .run_with_graceful_shutdown(board::add(routes).data(vitals), stop.cancelled(), Some(LAST_ANSWERS))
        .await
}

/// Touches nothing: a database that is down is no reason to restart this process.
#[handler]
fn live() -> Response {
    Json(json!({"status": "live"})).into_response()
}

/// Whether jobs are taken as they should be. That the bell cannot be heard is said, and is no reason to be unready.
#[handler]
async fn ready(vitals: Data<&Arc<Vitals>>) -> Response {
    let listener = if vitals.is_listening() { "up" } else { "down" };
    match vitals.unreadiness().await {
        None => Json(json!({"status": "ready", "listener": listener})).into_response(),
        Some(reason) => Json(json!({"status": "not_ready", "reason": reason, "listener": listener}))
            .with_status(StatusCode::SERVICE_UNAVAILABLE)
            .into_response(),
    }
}

#[handler]
async fn show_metrics(vitals: Data<&Arc<Vitals>>) -> Response {
    match vitals.render().await {
        Ok(text) => text.with_content_type(metrics::CONTENT_TYPE).into_response(),
        Err(error) => {
            tracing::error!(error = %error, "the metrics cannot be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
