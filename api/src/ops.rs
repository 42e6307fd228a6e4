//! Health and metrics of the process, on a separate, private port. Everything here is read-only.

use std::time::Duration;

use cairn_core::admin::metrics;
use cairn_core::db::{Db, MigrateError, migrations};
use poem::http::StatusCode;
use poem::web::{Data, Json};
use poem::{Endpoint, EndpointExt, IntoResponse, Response, Route, get, handler};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::App;

/// A probe that takes longer fails.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// `/health/live`: the process runs. `/health/ready`: it can answer requests. `/metrics`: its metrics. `stopping` is
/// cancelled when the process no longer accepts requests.
pub fn endpoint(app: &App, stopping: CancellationToken) -> impl Endpoint + use<> {
    Route::new()
        .at("/health/live", get(live))
        .at("/health/ready", get(ready))
        .at("/metrics", get(show_metrics))
        .data(app.clone())
        .data(stopping)
}

/// Checks nothing beyond the process itself: restarting it would not help while the database is down.
#[handler]
fn live() -> Response {
    Json(json!({"status": "live"})).into_response()
}

#[handler]
async fn ready(app: Data<&App>, stopping: Data<&CancellationToken>) -> Response {
    let reason = if stopping.is_cancelled() { Some("the process is stopping") } else { unreadiness(&app.db).await };
    match reason {
        None => Json(json!({"status": "ready"})).into_response(),
        Some(reason) => Json(json!({"status": "not_ready", "reason": reason}))
            .with_status(StatusCode::SERVICE_UNAVAILABLE)
            .into_response(),
    }
}

async fn unreadiness(db: &Db) -> Option<&'static str> {
    // On a separate connection: it matters whether the database answers, not whether the pool is busy.
    let options = db.pool().connect_options();
    match tokio::time::timeout(PROBE_TIMEOUT, migrations(&options)).await {
        // A newer database is fine: during a rolling update the old release still runs after the migration.
        Ok(Ok(state)) if state.pending == 0 => None,
        Ok(Err(MigrateError::Newer(_))) => None,
        Ok(Ok(_)) => Some("migrations are pending: run `cairn migrate`"),
        Ok(Err(MigrateError::Squashed(_))) => Some("the database was made before the first release: use an empty one"),
        Ok(Err(_)) | Err(_) => Some("the database does not answer"),
    }
}

#[handler]
async fn show_metrics(app: Data<&App>) -> Response {
    app.http.record_streams(&app.streams);
    app.http.record_connections(app.server.counts());
    app.http.record_hashes(app.passwords.stats());
    match app.metrics.render().await {
        Ok(text) => text.with_content_type(metrics::CONTENT_TYPE).into_response(),
        Err(error) => {
            tracing::error!(error = %error, "cannot render the metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
