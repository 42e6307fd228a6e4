//! `with-postgres COMMAND…` runs a command beside a throw-away Postgres and stops it afterwards.
//!
//! The command finds an empty server in `CAIRN_TEST_POSTGRES_URL`, a migrated database in `DATABASE_URL`, whose
//! role is that of the application, and the programs
//! of that server's version, such as `pg_dump`, first in `PATH`.
//!
//! `with-postgres --of-dev psql [ARGUMENT…]` opens psql on the database of `cargo run` instead, which is started where it
//! does not run; `with-postgres --of-dev reset` deletes it.

use std::error::Error;
use std::ffi::OsString;
use std::path::Path;
use std::process::{ExitCode, ExitStatus};

use cairn_migrations::{APPLICATION, OWNER, set_up};
use cairn_postgres::testing::{SETTINGS, URL_VARIABLE, throw_away_server};
use cairn_postgres::{Durability, Options, Server, role_url};

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
    if program == "--of-dev" {
        let what = arguments.next().unwrap_or_default();
        return match what.to_str() {
            Some("psql") => psql(arguments).await,
            Some("reset") => reset().await,
            _ => Err("usage: with-postgres --of-dev psql [ARGUMENT…] | reset".into()),
        };
    }
    let server = throw_away_server(Durability::Relaxed, &SETTINGS).await?;
    server.create_database_if_missing("migrated").await?;
    let [admin, owner, application] = urls(&server, "migrated");
    set_up(&admin, &owner, &application).await?;
    let path = search_path();
    let path =
        std::env::join_paths(server.programs().map(Path::to_owned).into_iter().chain(std::env::split_paths(&path)))?;
    let status = tokio::process::Command::new(program)
        .args(arguments)
        .env("PATH", path)
        .env(URL_VARIABLE, server.url("postgres"))
        .env("DATABASE_URL", application)
        .status()
        .await?;
    server.stop().await?;
    Ok(exit_code(status))
}

/// The URLs of a database for the superuser, the owner of the schema and the application.
fn urls(server: &Server, database: &str) -> [String; 3] {
    let url = server.url(database);
    [url.clone(), role_url(&url, OWNER), role_url(&url, APPLICATION)]
}

#[expect(clippy::disallowed_methods, reason = "the programs of a shell are no configuration of ours")]
fn search_path() -> OsString {
    std::env::var_os("PATH").unwrap_or_default()
}

fn exit_code(status: ExitStatus) -> ExitCode {
    status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
}

/// The server of `cargo run`, below the workspace's root.
fn of_dev() -> Options {
    Options::new(".cairn/postgres", Durability::Full)
}

async fn psql(arguments: impl Iterator<Item = OsString>) -> Result<ExitCode, Box<dyn Error>> {
    let mut options = of_dev();
    options.reuse = true;
    let server = Server::start(options).await?;
    server.create_database_if_missing("cairn").await?;
    // The password is passed in the environment, because any user can read the arguments of a process.
    let url = server.url("cairn");
    let (user, rest) = url.trim_start_matches("postgres://").split_once(':').ok_or("the URL has no password")?;
    let (password, address) = rest.split_once('@').ok_or("the URL has no password")?;
    // Ctrl-C is for psql, which shares the terminal: this process has a server to stop.
    let ignore = tokio::spawn(async { while tokio::signal::ctrl_c().await.is_ok() {} });
    let status = tokio::process::Command::new("psql")
        .arg(format!("postgres://{user}@{address}"))
        .args(arguments)
        .env("PGPASSWORD", password)
        .status()
        .await
        .map_err(|error| format!("psql: {error}"))?;
    ignore.abort();
    server.stop().await?;
    Ok(exit_code(status))
}

async fn reset() -> Result<ExitCode, Box<dyn Error>> {
    let mut options = of_dev();
    // Refuses while `cargo run` uses it.
    options.remove_when_stopped = true;
    Server::start(options).await?.stop().await?;
    eprintln!("the database of `cargo run` is deleted; the next start creates a new one");
    Ok(ExitCode::SUCCESS)
}
