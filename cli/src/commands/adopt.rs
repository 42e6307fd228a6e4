//! `cairn adopt --check`: says what of the platform that Cairn replaces would be carried over.

use cairn_core::config::Config;
use cairn_core::legacy::{self, Entry, Source, table_named, why_not};

use super::import_legacy::{open, show, show_losses, show_zoneless};
use crate::failure::Failure;
use crate::output::{print_line, report, table};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only look. Nothing is ever written by this command: `cairn import-legacy` does that, into a database of its own.
    #[arg(long, required = true)]
    check: bool,
    /// The database to look at. Better set `CAIRN_LEGACY_URL`: other users of this machine see arguments, and with them the
    /// password. Without either, the one in `DATABASE_URL`.
    #[arg(long, value_name = "URL")]
    pub(crate) from: Option<String>,
}

pub(crate) async fn run(config: &Config, args: &Args) -> Result<(), Failure> {
    debug_assert!(args.check);
    if args.from.is_some() {
        report("--from shows its password to everybody on this machine: prefer CAIRN_LEGACY_URL");
    }
    let Some(url) = config.legacy_url.as_ref().or(config.database_url.as_ref()) else {
        return Err(Failure::setup("CAIRN_LEGACY_URL is not set: let it name the database of the platform to look at"));
    };
    let mut source = open(url).await?;
    shapes(&source)?;
    let losses = legacy::check(&mut source).await?;
    let outcome = legacy::dry_run_alone(&mut source, &mut |_: &Entry| {}).await?;
    let zoneless = legacy::times_without_zone(&source);
    source.close().await?;
    print_line("")?;
    show(&outcome)?;
    show_zoneless(&zoneless)?;
    if losses.is_empty() && outcome.loses_nothing() {
        return print_line("`cairn import-legacy` would lose nothing");
    }
    show_losses(&losses)?;
    print_line("`cairn import-legacy` would not carry over, or would change, what is listed above")?;
    Err(Failure::AlreadyReported)
}

/// Prints what each table becomes, and the columns that are known, without a place, and unknown.
fn shapes(source: &Source) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for it in source.tables() {
        let Some(known) = table_named(&it.name) else {
            rows.push(vec![
                it.name.clone(),
                format!("not carried over: {}", why_not(&it.name)),
                String::new(),
                String::new(),
            ]);
            continue;
        };
        let find = |name: &str| known.columns.iter().find(|column| column.name == name);
        let names = |wanted: &dyn Fn(&str) -> bool| {
            let names = it.columns.iter().map(|column| column.name.as_str()).filter(|name| wanted(name));
            names.collect::<Vec<_>>().join(", ")
        };
        let kept = names(&|name| find(name).is_some_and(|column| column.is_kept));
        let others = [
            ("no place", names(&|name| find(name).is_some_and(|column| !column.is_kept))),
            ("unknown", names(&|name| find(name).is_none())),
        ];
        let others = others.iter().filter(|(_, names)| !names.is_empty());
        let others = others.map(|(why, names)| format!("{why}: {names}")).collect::<Vec<_>>().join("; ");
        rows.push(vec![it.name.clone(), known.becomes.to_owned(), kept, others]);
    }
    let head = ["table", "becomes", "columns that are carried over or computed", "other columns"];
    print_line(table(&head, &rows).trim_end())
}
