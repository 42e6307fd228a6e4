//! Health of the process, on a port of its own that is not for the public. Probes only read.

use std::time::Duration;

use cairn_core::db::{Db, MigrateError, migrations};
use poem::http::StatusCode;
use poem::web::{Data, Json};
use poem::{Endpoint, EndpointExt, IntoResponse, Response, Route, get, handler};
use serde_json::json;

/// A probe that takes longer says no.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// `/health/live`: the process runs. `/health/ready`: it can answer requests.
pub fn endpoint(db: Db) -> impl Endpoint {
    Route::new().at("/health/live", get(live)).at("/health/ready", get(ready)).data(db)
}

/// Touches nothing: a database that is down is no reason to restart this process.
#[handler]
fn live() -> Response {
    Json(json!({"status": "live"})).into_response()
}

#[handler]
async fn ready(Data(db): Data<&Db>) -> Response {
    // A connection of its own: whether the pool is busy does not matter, whether the database answers does.
    let options = db.pool().connect_options();
    let reason = match tokio::time::timeout(PROBE_TIMEOUT, migrations(&options)).await {
        // Newer is ready: in a rolling update the database is migrated while the old release still runs.
        Ok(Ok(state)) if state.pending == 0 => None,
        Ok(Err(MigrateError::Newer(_))) => None,
        Ok(Ok(_)) => Some("migrations are pending: run `cairn migrate`"),
        Ok(Err(_)) | Err(_) => Some("the database does not answer"),
    };
    match reason {
        None => Json(json!({"status": "ready"})).into_response(),
        Some(reason) => Json(json!({"status": "not_ready", "reason": reason}))
            .with_status(StatusCode::SERVICE_UNAVAILABLE)
            .into_response(),
    }
}
