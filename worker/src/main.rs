//! `cairn-worker`: processes the queues until it is told to stop.

use std::process::ExitCode;

use cairn_core::admin::preflight::check_pooler;
use cairn_core::config::{Config, OPS_WORKER};
use cairn_core::db::{Db, connect_options, migrations};
use cairn_core::program::{Failure, Service};
use cairn_core::{failpoint, shutdown, telemetry};
use tokio::net::TcpListener;

const SERVICE: Service = Service { name: "cairn-worker", about: "Processes the queues of Cairn until it is stopped." };

#[tokio::main]
async fn main() -> ExitCode {
    if let Some(code) = SERVICE.answer(std::env::args_os().skip(1)) {
        return code;
    }
    start().await.map_or_else(|failure| SERVICE.fail(&failure), |()| ExitCode::SUCCESS)
}

async fn start() -> Result<(), Failure> {
    let config = Config::load()?;
    let traces = telemetry::init_service(&config, SERVICE.name)?;
    failpoint::arm(&config.failpoints);
    let url = config.require_database_url()?.expose().to_owned();
    let direct_url = config.require_direct_url()?.expose().to_owned();
    let pending = migrations(&connect_options(&direct_url)?).await?.pending;
    if pending > 0 {
        return Err(Failure::Setup(format!("the database lacks {pending} migrations: run `cairn migrate`")));
    }
    check_pooler(&connect_options(&url)?, &connect_options(&direct_url)?).await?;
    let db = Db::connect(&url, &direct_url, config.database_connections)?;
    let addr = config.ops_addr.unwrap_or(OPS_WORKER);
    let ops = TcpListener::bind(addr).await.map_err(|error| {
        Failure::Setup(format!(
            "cannot listen on {addr} ({error}): stop the program that uses it, or set CAIRN_OPS_ADDR"
        ))
    })?;
    let served = cairn_worker::serve(&config, db, ops, shutdown::on_signal().map_err(Failure::failed)?).await;
    traces.flush().await;
    served.map_err(Failure::failed)
}
