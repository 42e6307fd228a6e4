//! `cairn verify`: recomputes every derived value and lists the differences.

use std::path::Path;

use cairn_core::admin::verify::{Mode, Report, verify};
use cairn_core::config::Config;

use crate::database::Database;
use crate::failure::Failure;
use crate::output::print_line;

/// How many differences of each kind the text output shows.
const SHOWN: usize = 20;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Ignore differences that a pending job will resolve, because the platform is in use.
    #[arg(long)]
    while_running: bool,
    /// Print a JSON object with up to 1000 differences of each kind.
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(config: &Config, data_dir: &Path, args: &Args) -> Result<(), Failure> {
    let database = Database::ready(config, data_dir).await?;
    let mode = if args.while_running { Mode::WhileRunning } else { Mode::Strict };
    let report = verify(database.connect_for_maintenance()?.pool(), mode).await?;
    database.close().await?;
    if args.json {
        let report = serde_json::to_value(&report).map_err(cairn_core::Error::from)?;
        print_line(&format!("{report:#}"))?;
    } else {
        show(&report)?;
    }
    if report.is_clean() { Ok(()) } else { Err(Failure::AlreadyReported) }
}

/// Prints a report as text.
pub(crate) fn show(report: &Report) -> Result<(), Failure> {
    if report.is_clean() {
        return print_line("verify: no differences");
    }
    for finding in &report.findings {
        print_line(&format!("{}: {}", finding.kind.name(), finding.total))?;
        for difference in finding.differences.iter().take(SHOWN) {
            print_line(&format!("  {} is {}, expected {}", difference.ids, difference.stored, difference.expected))?;
        }
        let more = finding.total - i64::try_from(finding.differences.len().min(SHOWN)).unwrap_or(0);
        if more > 0 {
            print_line(&format!("  and {more} more"))?;
        }
    }
    print_line(&format!("verify: {} differences", report.total()))
}
