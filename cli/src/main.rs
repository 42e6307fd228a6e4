//! The `cairn` command: runs the platform in one process, and gives operators access to its database.
//!
//! Each command has a file in `commands/`. A command returns a [`Failure`] that says what to do. Nothing here panics, and no
//! secret is printed. None has to be given as an argument, where other accounts of the machine would see it.

mod commands;
mod database;
mod demo;
mod failure;
mod output;

use std::path::PathBuf;
use std::process::ExitCode;

use cairn_core::config::Config;
use clap::{Parser, Subcommand};

use crate::commands::{
    admin, adopt, dev, doctor, export, import, import_legacy, invite, jobs, migrate, psql, simulate, verify,
};
use crate::failure::Failure;

/// Cairn, an online-course platform. Without a command, runs `cairn dev`.
#[derive(Parser)]
#[command(name = "cairn", version, max_term_width = 100, after_help = AFTER_HELP)]
struct Cli {
    /// Directory in which `cairn dev` keeps its database and its token key.
    #[arg(long, global = true, default_value = ".cairn", value_name = "DIR")]
    data_dir: PathBuf,
    #[command(subcommand)]
    command: Option<Command>,
}

const AFTER_HELP: &str = "Settings are read from the environment, .env.local and .env. If DATABASE_URL is not set, \
                          commands use the embedded database of `cairn dev`, whether or not it is running, and say so.\n\n\
                          Exit codes: 0 it is done; 1 it failed, and may work the next time; 2 the command line, the \
                          configuration or the database must be mended first; 3 `cairn import-legacy` is done and has left out rows.";

#[derive(Subcommand)]
enum Command {
    /// Run the whole platform in one process: database, API, worker and a demo course.
    Dev,
    /// Bring the database schema up to date.
    Migrate(migrate::Args),
    /// Import course documents in one transaction.
    Import(import::Args),
    /// Say what of the platform that Cairn replaces would be carried over, and what would not.
    Adopt(adopt::Args),
    /// Carry over the database of the platform that Cairn replaces.
    ImportLegacy(import_legacy::Args),
    /// Export the whole course as one document.
    Export(export::Args),
    /// Manage admins.
    #[command(subcommand)]
    Admin(admin::Args),
    /// Manage invites.
    #[command(subcommand)]
    Invite(invite::Args),
    /// Inspect queues and jobs, retry or discard jobs, and pause queues.
    #[command(subcommand)]
    Jobs(jobs::Args),
    /// Open psql on the database, with the password where no list of processes shows it.
    Psql(psql::Args),
    /// Recompute every derived value and list the differences.
    Verify(verify::Args),
    /// Simulate learners who use a running platform over HTTP.
    Simulate(simulate::Args),
    /// Check the configuration, database, queues and clock.
    Doctor,
    #[command(about = "Print the OpenAPI document of the API")]
    Openapi {
        #[arg(long = "as-3.1", help = "Print it as OpenAPI 3.1, with samples of code")]
        as_31: bool,
    },
    /// Print the JSON schema of course documents.
    CourseSchema,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let data_dir = &cli.data_dir;
    match cli.command.unwrap_or(Command::Dev) {
        Command::Openapi { as_31: true } => output::print(&cairn_api::openapi_31_json()),
        Command::Openapi { as_31: false } => output::print(&cairn_api::openapi_json()),
        Command::CourseSchema => output::print(&format!("{:#}\n", cairn_core::learning::course::schema())),
        Command::Dev => Box::pin(dev::run(Config::load()?, data_dir)).await,
        Command::Migrate(args) => migrate::run(&load()?, data_dir, &args).await,
        Command::Import(args) => import::run(&load()?, data_dir, &args).await,
        Command::Adopt(args) => adopt::run(&load_with(&legacy(args.from.as_deref()))?, &args).await,
        Command::ImportLegacy(args) => {
            import_legacy::run(&load_with(&legacy(args.from.as_deref()))?, data_dir, &args).await
        }
        Command::Export(args) => export::run(&load()?, data_dir, &args).await,
        Command::Admin(args) => admin::run(&load()?, data_dir, args).await,
        Command::Invite(args) => invite::run(&load()?, data_dir, args).await,
        Command::Jobs(args) => jobs::run(&load()?, data_dir, args).await,
        Command::Psql(args) => psql::run(&load()?, data_dir, &args).await,
        Command::Verify(args) => verify::run(&load()?, data_dir, &args).await,
        Command::Simulate(args) => Box::pin(simulate::run(&load()?, data_dir, args)).await,
        Command::Doctor => doctor::run(data_dir).await,
    }
}

/// The configuration of a short-lived command, which logs only warnings and errors.
fn load() -> Result<Config, Failure> {
    load_with(&[])
}

/// The URL of the command line takes the place of that in the environment, and is checked as that is.
fn legacy(from: Option<&str>) -> Vec<(&'static str, &str)> {
    from.map(|url| ("CAIRN_LEGACY_URL", url)).into_iter().collect()
}

fn load_with(overrides: &[(&str, &str)]) -> Result<Config, Failure> {
    let mut config = Config::load_with(overrides)?;
    if config.log == "info" {
        // Slow queries are expected when everything is verified.
        "warn,sqlx::query=error".clone_into(&mut config.log);
    }
    cairn_core::telemetry::init(&config);
    Ok(config)
}
