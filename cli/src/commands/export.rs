//! `cairn export`: the whole course as one document.

use std::path::Path;

use cairn_core::config::Config;
use cairn_core::learning::course::{export_snapshot, to_json, to_yaml};

use crate::database::Database;
use crate::failure::Failure;
use crate::output::print;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Yaml)]
    format: Format,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Format {
    Yaml,
    Json,
}

pub(crate) async fn run(config: &Config, data_dir: &Path, args: &Args) -> Result<(), Failure> {
    let database = Database::ready(config, data_dir).await?;
    let course = export_snapshot(database.connect_for_maintenance()?.pool()).await?;
    database.close().await?;
    let text = match args.format {
        Format::Yaml => to_yaml(&course)?,
        Format::Json => to_json(&course)?,
    };
    print(&text)
}
