//! Runs the API as a process, from reading the configuration to an orderly shutdown.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use cairn_core::admin::preflight::check_pooler;
use cairn_core::config::{Config, ConfigError, OPS_API, Ports};
use cairn_core::db::{Db, MigrateError, migrations};
use cairn_core::program::Failure;
use cairn_server::host::Hosts;
use cairn_server::{Limits, Private, Server, raise_descriptors};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::budget::Budgets;
use crate::{App, endpoint, ops, streams};

/// How long requests may continue after the process was asked to stop.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);
/// The same for probes, which end at once.
const OPS_DRAIN_LIMIT: Duration = Duration::from_secs(1);

/// Why the API cannot be served. Each message is one line that says what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A setting is missing or wrong.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// The database does not suit this program, or does not answer.
    #[error("database: {0}")]
    Migrations(#[from] MigrateError),
    /// The database is older than this program.
    #[error("the database lacks {0} migrations: run `cairn migrate`")]
    Pending(usize),
    /// A pooler before the database makes the work impossible, or there was no answer.
    #[error("{0}")]
    Pooler(#[from] Failure),
    /// The pool could not be created.
    #[error("{0}")]
    Core(#[from] cairn_core::Error),
    /// The port is in use, or this process may not use it.
    #[error("could not listen on {0}: {1}")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// The server failed.
    #[error("the server stopped: {0}")]
    Server(#[source] std::io::Error),
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        match error {
            ServeError::Config(_) | ServeError::Pending(_) => Self::setup(error),
            ServeError::Migrations(error) => error.into(),
            ServeError::Pooler(failure) => failure,
            ServeError::Listen(addr, error) => Self::setup(format!(
                "cannot listen on {addr} ({error}): stop the program that uses it, or set CAIRN_API_ADDR or CAIRN_OPS_ADDR"
            )),
            ServeError::Core(_) | ServeError::Server(_) => Self::failed(error),
        }
    }
}

/// Runs a process that only serves the API, with its health and metrics on `CAIRN_OPS_ADDR`, until `shutdown`.
pub async fn run(config: &Config, shutdown: CancellationToken) -> Result<(), ServeError> {
    config.require_jwt_secret()?;
    let (url, direct_url) = (config.require_database_url()?, config.require_direct_url()?);
    let db = Db::connect(url.expose(), direct_url.expose(), config.database_connections)?;
    let state = migrations(&db.pool().connect_options()).await?;
    if state.pending > 0 {
        return Err(ServeError::Pending(state.pending));
    }
    check_pooler(&db.pool().connect_options(), &db.direct_options()).await?;
    let (api, ops) = (listen(config.api_addr).await?, listen(config.ops_addr.unwrap_or(OPS_API)).await?);
    let served = serve(config, db.clone(), api, ops, shutdown).await;
    db.close().await;
    served
}

/// Serves the API on `api` until `shutdown`, then lets requests finish. Until then, its health and metrics are served
/// on `ops`.
/// Needs `config.jwt_secret`.
pub async fn serve(
    config: &Config,
    db: Db,
    api: TcpListener,
    ops: TcpListener,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let mut app = App::new(db, config.require_jwt_secret()?)?;
    app.tokens = app.tokens.with_previous(config.jwt_secret_previous.as_ref());
    app.streams = streams::Streams::new(&app.db, streams::Limits::default(), shutdown.clone());
    app.budgets = Budgets::new(&config.rate_limits, config.database_connections);
    app.proxies = Arc::new(config.trusted_proxies.clone());
    app.hsts_seconds = config.hsts_seconds;
    raise_descriptors();
    app.server =
        Server::new("api", Limits { unlimited: config.trusted_proxies.networks.clone(), ..limits(&config.ports) });
    let drained = CancellationToken::new();
    let token = config.ports.ops_token.as_ref().map(|token| token.expose().to_owned());
    let private = Private::new(ops::endpoint(&app, shutdown.clone()), Hosts::private(&config.ports.ops_hosts), token);
    let ops_server = Server::new("ops", Limits::private());
    let ops = ops_server.run(ops, private, drained.clone(), OPS_DRAIN_LIMIT);
    let api = async {
        let _over = drained.drop_guard_ref();
        let hosts = Hosts::public(&config.ports.api_hosts);
        app.server.run(api, endpoint(&app, &config.cors_origins, hosts), shutdown, DRAIN_LIMIT).await
    };
    let (api, ops) = tokio::join!(api, ops);
    api.and(ops).map_err(ServeError::Server)
}

fn limits(ports: &Ports) -> Limits {
    let mut limits = Limits::default();
    if let Some(connections) = ports.api_connections {
        limits = limits.with_connections(connections);
    }
    if let Some(per_address) = ports.api_connections_per_address {
        limits.connections_per_address = per_address;
    }
    limits
}

/// Binds an address; port 0 selects a free port.
pub async fn listen(addr: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(addr).await.map_err(|error| ServeError::Listen(addr, error))
}
