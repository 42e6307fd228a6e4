//! `with-postgres COMMAND…` runs a command beside a throw-away Postgres and stops it afterwards.
//!
//! The command finds an empty server in `CAIRN_TEST_POSTGRES_URL`, a migrated database in `DATABASE_URL`, and the programs
//! of that server's version, such as `pg_dump`, first in `PATH`.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;

use cairn_postgres::Durability;
use cairn_postgres::testing::{URL_VARIABLE, throw_away_server};
use sqlx::postgres::PgConnectOptions;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("with-postgres: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let program = arguments.next().ok_or("usage: with-postgres COMMAND [ARGUMENT…]")?;
    let server = throw_away_server(Durability::Relaxed, &[]).await?;
    server.create_database_if_missing("migrated").await?;
    cairn_migrations::migrate(&PgConnectOptions::from_str(&server.url("migrated"))?).await?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path =
        std::env::join_paths(server.programs().map(Path::to_owned).into_iter().chain(std::env::split_paths(&path)))?;
    let status = tokio::process::Command::new(program)
        .args(arguments)
        .env("PATH", path)
        .env(URL_VARIABLE, server.url("postgres"))
        .env("DATABASE_URL", server.url("migrated"))
        .status()
        .await?;
    server.stop().await?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
