//! `cairn-api`: serves the API until it is stopped.

use std::process::ExitCode;

use cairn_core::config::Config;
use cairn_core::program::{Failure, Service};
use cairn_core::{failpoint, shutdown, telemetry};

const SERVICE: Service = Service { name: "cairn-api", about: "Serves the API of Cairn until it is stopped." };

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
    let served = cairn_api::run(&config, shutdown::on_signal().map_err(Failure::failed)?).await;
    traces.flush().await;
    Ok(served?)
}
