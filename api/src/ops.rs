//! Health and metrics of the process, on a separate, private port. Everything here is read-only.

use std::time::Duration;

use cairn_core::admin::{health, metrics};
use cairn_core::db::{Db, MigrateError, migrations_on};
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

/// Why requests cannot be answered; `None` if they can. Asks over a connection of the pool that serves them, so that a pool in which
/// everything hangs is not ready, and a database that takes no more connections is, as long as the pool has some.
async fn unreadiness(db: &Db) -> Option<&'static str> {
    match tokio::time::timeout(PROBE_TIMEOUT, check(db)).await {
        Ok(reason) => reason,
        Err(_) if is_full(db) => Some("all connections to the database are in use"),
        Err(_) => Some("the database does not answer"),
    }
}

async fn check(db: &Db) -> Option<&'static str> {
    let Ok(mut connection) = db.acquire().await else { return Some("the database does not answer") };
    match health::accepts_writes(&mut connection).await {
        Ok(true) => {}
        Ok(false) => {
            // Sessions that cannot write are of no use, even if the database accepts writes again.
            connection.discard();
            return Some("the database does not accept writes");
        }
        Err(_) => return Some("the database does not answer"),
    }
    match migrations_on(&mut connection).await {
        // A newer database is fine: during a rolling update the old release still runs after the migration.
        Ok(state) if state.pending == 0 => None,
        Err(MigrateError::Newer(_)) => None,
        Ok(_) => Some("migrations are pending: run `cairn migrate`"),
        Err(MigrateError::Squashed(_)) => Some("the database was made before the first release: use an empty one"),
        Err(MigrateError::Changed(_) | MigrateError::Unfinished(_)) => {
            Some("a migration is not as it should be: see `cairn doctor`")
        }
        Err(_) => Some("the database does not answer"),
    }
}

fn is_full(db: &Db) -> bool {
    db.pool().num_idle() == 0 && db.pool().size() >= db.pool().options().get_max_connections()
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
