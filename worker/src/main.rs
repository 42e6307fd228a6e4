//! `cairn-worker`: processes the queues until it is told to stop.

use std::process::ExitCode;

use cairn_core::config::{Config, OPS_WORKER};
use cairn_core::db::{Db, connect_options, migrations, name_program};
use cairn_core::{clock, failpoint, hosts, shutdown, telemetry};
use tokio::net::TcpListener;

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
    let traces = telemetry::init_service(&config, "cairn-worker")?;
    failpoint::arm(&config.failpoints);
    name_program("cairn-worker");
    clock::set_wrong(config.clock_error_seconds);
    let url = config.require_database_url()?.expose().to_owned();
    let direct_url = config.require_direct_url()?.expose().to_owned();
    let pending = migrations(&hosts::writable(&connect_options(&direct_url)?).await).await?.pending;
    if pending > 0 {
        return Err(format!("{pending} migrations are pending: run `cairn migrate`").into());
    }
    let db = Db::connect(&url, &direct_url, config.database_connections)?;
    let addr = config.ops_addr.unwrap_or(OPS_WORKER);
    let ops = TcpListener::bind(addr).await;
    let ops =
        ops.map_err(|error| format!("cannot listen on {addr} ({error}): stop what uses it, or set CAIRN_OPS_ADDR"))?;
    let result = cairn_worker::serve(&config, db, ops, shutdown::on_signal()?).await;
    traces.flush().await;
    Ok(result?)
}
