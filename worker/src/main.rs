//! `cairn-worker`: works the queues until it is told to stop.

use std::net::SocketAddr;
use std::process::ExitCode;

use cairn_core::config::Config;
use cairn_core::db::{Db, connect_options, migrations};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> ExitCode {
    match start().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cairn-worker: {error}");
            ExitCode::from(2)
        }
    }
}

async fn start() -> Result<(), Box<dyn std::error::Error>> {
    let config = Config::load()?;
    cairn_core::telemetry::init(&config);
    cairn_core::failpoint::arm(&config.failpoints);
    let url = config.require_database_url()?.expose().to_owned();
    let direct_url = config.require_direct_url()?.expose().to_owned();
    let pending = migrations(&connect_options(&direct_url)?).await?.pending;
    if pending > 0 {
        return Err(format!("{pending} migrations are pending: run `cairn migrate`").into());
    }
    let db = Db::connect(&url, &direct_url, config.database_connections)?;
    let shutdown = CancellationToken::new();
    let ops_addr = config.ops_addr.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 9091)));
    let ops = cairn_worker::ops::serve(ops_addr, db.clone(), shutdown.clone()).await?;

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = shutdown.clone();
    tokio::spawn(async move {
        for times in 1.. {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            if times > 1 {
                std::process::exit(130); // a second signal exits now; what ran is rescued
            }
            stop.cancel();
        }
    });
    cairn_worker::run(&config, db, shutdown).await?;
    Ok(ops.await??)
}
