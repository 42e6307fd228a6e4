//! `cairn migrate`: brings the database schema up to date.

use std::path::Path;

use cairn_core::config::Config;

use crate::database::{Database, Sharing};
use crate::failure::Failure;
use crate::output::print_line;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Change nothing, and exit with code 1 if migrations are pending.
    #[arg(long)]
    check: bool,
}

pub(crate) async fn run(config: &Config, data_dir: &Path, args: &Args) -> Result<(), Failure> {
    let database = Database::open(config, data_dir, Sharing::Shared).await?;
    let pending = database.migrations().await?.pending;
    if args.check {
        database.close().await?;
        return match pending {
            0 => print_line("the database is up to date"),
            n => Err(Failure::failed(format!("{n} migrations are pending: run `cairn migrate`"))),
        };
    }
    let state = database.migrate().await?;
    database.close().await?;
    match pending {
        0 => print_line(&format!("the database is up to date ({} migrations)", state.applied)),
        n => print_line(&format!("applied {n} migrations; the database is up to date ({})", state.applied)),
    }
}
