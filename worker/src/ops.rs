//! Health of the worker process, on a port of its own.

use std::net::SocketAddr;
use std::time::Duration;

use cairn_core::db::Db;
use poem::http::StatusCode;
use poem::listener::{Acceptor, Listener, TcpListener};
use poem::web::Data;
use poem::{EndpointExt, Route, Server, get, handler};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Binds and serves `/health/live` and `/health/ready` until `shutdown`. Fails when the address is taken.
pub async fn serve(
    addr: SocketAddr,
    db: Db,
    shutdown: CancellationToken,
) -> std::io::Result<JoinHandle<std::io::Result<()>>> {
    let acceptor = TcpListener::bind(addr)
        .into_acceptor()
        .await
        .map_err(|error| std::io::Error::new(error.kind(), format!("cannot listen on {addr}: {error}")))?;
    tracing::info!(ops.addr = ?acceptor.local_addr(), "health is served");
    let app = Route::new().at("/health/live", get(live)).at("/health/ready", get(ready)).data(db);
    let server = Server::new_with_acceptor(acceptor);
    Ok(tokio::spawn(server.run_with_graceful_shutdown(
        app,
        async move { shutdown.cancelled().await },
        Some(Duration::from_secs(1)),
    )))
}

/// The process runs. Touches nothing.
#[handler]
fn live() -> &'static str {
    "ok"
}

/// The database answers, so jobs can be taken. Reads only.
#[handler]
async fn ready(db: Data<&Db>) -> (StatusCode, &'static str) {
    match tokio::time::timeout(Duration::from_secs(2), sqlx::query("SELECT 1").execute(db.pool())).await {
        Ok(Ok(_)) => (StatusCode::OK, "ok"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer"),
    }
}
