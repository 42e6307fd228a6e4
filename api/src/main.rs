//! `cairn-api`: serves the API until it is stopped.

use std::process::ExitCode;

use cairn_api::{ServeError, run};
use cairn_core::config::Config;
use cairn_core::db::name_program;
use cairn_core::{clock, failpoint, shutdown, telemetry};

#[tokio::main]
async fn main() -> ExitCode {
    match start().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cairn-api: {error}");
            let is_setup = matches!(error, ServeError::Config(_) | ServeError::Pending(_) | ServeError::Migrations(_));
            ExitCode::from(if is_setup { 2 } else { 1 })
        }
    }
}

async fn start() -> Result<(), ServeError> {
    let config = Config::load()?;
    let traces = telemetry::init_service(&config, "cairn-api")?;
    failpoint::arm(&config.failpoints);
    name_program("cairn-api");
    clock::set_wrong(config.clock_error_seconds);
    let served = run(&config, shutdown::on_signal().map_err(ServeError::Server)?).await;
    traces.flush().await;
    served
}
