//! `cairn-stub-provider [ADDRESS]`: runs the stub as a process for manual tests.

use std::net::SocketAddr;
use std::process::ExitCode;

use cairn_stub_provider::Stub;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cairn-stub-provider: {error}");
            ExitCode::from(2)
        }
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let addr = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8099".to_owned());
    let addr: SocketAddr =
        addr.parse().map_err(|_| format!("`{addr}` is not an address: use one such as 127.0.0.1:8099"))?;
    let stub = Stub::start_on(addr).await.map_err(|error| format!("cannot listen on {addr}: {error}"))?;
    println!("CAIRN_AI_BASE_URL={}\nCAIRN_AI_MODEL=stub\n", stub.base_url());
    println!("Ask, for example: stub:words=100,gap=50 What is a viewport?");
    Ok(tokio::signal::ctrl_c().await?)
}
