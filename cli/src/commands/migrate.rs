//! `cairn migrate`: brings the database schema up to date.

use std::path::Path;

use cairn_core::config::{Config, Secret};
use cairn_core::db::{connect_options, create_roles};
use cairn_core::hosts;

use crate::database::{Database, Sharing, Step, refuse_unsuitable, role};
use crate::failure::Failure;
use crate::output::print_line;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Change nothing, and exit with code 1 if migrations are pending.
    #[arg(long)]
    check: bool,
    /// First create the roles in `DATABASE_OWNER_URL` and `DATABASE_URL`, as the superuser in `DATABASE_ADMIN_URL`, and make
    /// the former the owner of what the database contains.
    #[arg(long, conflicts_with = "check")]
    roles: bool,
}

pub(crate) async fn run(config: &Config, data_dir: &Path, args: &Args) -> Result<(), Failure> {
    if args.roles {
        roles(config).await?;
    }
    let database = Database::open(config, data_dir, Sharing::Shared).await?;
    if args.check {
        database.check_suitable(Step::Check).await?;
        let pending = database.migrations().await?.pending;
        database.close().await?;
        return match pending {
            0 => print_line("the database is up to date"),
            n => Err(Failure::failed(format!("{n} migrations are pending: run `cairn migrate`"))),
        };
    }
    let pending = database.migrations().await?.pending;
    let state = database.migrate().await?;
    database.close().await?;
    match pending {
        0 => print_line(&format!("the database is up to date ({} migrations)", state.applied)),
        n => print_line(&format!("applied {n} migrations; the database is up to date ({})", state.applied)),
    }
}

async fn roles(config: &Config) -> Result<(), Failure> {
    let url = |key: &str, url: &Option<Secret>| {
        let missing = || Failure::setup(format!("{key} is not set: `cairn migrate --roles` needs it"));
        url.clone().ok_or_else(missing)
    };
    let administrator = url("DATABASE_ADMIN_URL", &config.database_admin_url)?;
    let owner = role(&url("DATABASE_OWNER_URL", &config.database_owner_url)?)?;
    let application = role(&url("DATABASE_URL", &config.database_url)?)?;
    if owner.name() == application.name() {
        return Err(Failure::setup("DATABASE_OWNER_URL and DATABASE_URL name the same role: they need two"));
    }
    let administrator = connect_options(administrator.expose())?;
    refuse_unsuitable(&administrator, Step::Roles).await?;
    create_roles(&hosts::writable(&administrator).await, &owner, &application).await?;
    print_line(&format!("the roles {} and {} are ready", owner.name(), application.name()))
}
