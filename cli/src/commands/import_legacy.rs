//! `cairn import-legacy`: carries over the database of the platform that Cairn replaces.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use cairn_core::Error;
use cairn_core::config::{Config, Secret};
use cairn_core::db::Db;
use cairn_core::failpoint;
use cairn_core::legacy::{self, Entry, Loss, Outcome, Report, Source, table_named};
use cairn_core::program::refusal_of_connection;

use crate::database::Database;
use crate::failure::Failure;
use crate::output::{print_line, report, table};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The database to read. Better set `CAIRN_LEGACY_URL`: other users of this machine see arguments, and with them the password.
    #[arg(long, value_name = "URL")]
    pub(crate) from: Option<String>,
    /// Say what would be carried over, without writing anything.
    #[arg(long)]
    dry_run: bool,
    /// Write a line of JSON for each row that is left out or changed, and for each table.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

pub(crate) async fn run(config: &Config, data_dir: &Path, args: &Args) -> Result<(), Failure> {
    failpoint::arm(&config.failpoints);
    if args.from.is_some() {
        report("--from shows its password to everybody on this machine: prefer CAIRN_LEGACY_URL");
    }
    let Some(url) = &config.legacy_url else {
        return Err(Failure::setup(
            "CAIRN_LEGACY_URL is not set: let it name the database of the platform to carry over",
        ));
    };
    let database = Database::ready(config, data_dir).await?;
    let mut source = open(url).await?;
    let mut lines = Lines::open(args.report.as_deref())?;
    let db = database.connect_for_maintenance()?;
    let losses = legacy::check(&mut source).await?;
    let outcome = carry_over(&db, &mut source, args.dry_run, &mut lines).await?;
    let zoneless = legacy::times_without_zone(&source);
    source.close().await?;
    database.close().await?;
    lines.finish(&outcome, &losses, &zoneless)?;
    show(&outcome)?;
    show_losses(&losses)?;
    show_zoneless(&zoneless)?;
    if args.dry_run {
        print_line("dry run: nothing was written")?;
    }
    match outcome.sum(|it| it.skipped) {
        0 => Ok(()),
        skipped => Err(Failure::LeftOut(format!(
            "{skipped} rows {} left out: the lines above say why, and --report FILE names each",
            if args.dry_run { "would be" } else { "were" }
        ))),
    }
}

async fn carry_over(db: &Db, source: &mut Source, is_dry: bool, lines: &mut Lines) -> Result<Report, Failure> {
    if is_dry {
        lines.begin()?;
        return Ok(legacy::dry_run(db, source, &mut |entry: &Entry| lines.entry(entry)).await?);
    }
    let Some(lock) = legacy::lock(db).await? else {
        return Err(Failure::failed("another `cairn import-legacy` is running: wait until it has ended"));
    };
    lines.begin()?;
    Ok(legacy::import(db, &lock, source, &mut |entry: &Entry| lines.entry(entry)).await?)
}

/// Connects to the old database. What fails there must not look like a fault of Cairn's own.
pub(crate) async fn open(url: &Secret) -> Result<Source, Failure> {
    let unreadable = |error: Error| {
        // What has to be corrected is not tried again, unlike a database that does not answer.
        let failure = if refusal_of_connection(&error).is_some() { Failure::Setup } else { Failure::Failed };
        failure(format!("cannot read the database in CAIRN_LEGACY_URL: {error}"))
    };
    let source = Source::open(url.expose()).await.map_err(unreadable)?;
    if source.is_of_cairn() {
        return Err(Failure::setup(
            "the database in CAIRN_LEGACY_URL is one of Cairn: let it name that of the platform which Cairn replaces",
        ));
    }
    if !source.tables().iter().any(|table| table_named(&table.name).is_some()) {
        return Err(Failure::setup(
            "the database in CAIRN_LEGACY_URL has no table of the platform that Cairn replaces, or none that its role may see: correct \
             the URL, or set the role's search_path to the schema of the tables",
        ));
    }
    Ok(source)
}

/// Prints the numbers of each table, then why rows were left out or changed.
pub(crate) fn show(outcome: &Report) -> Result<(), Failure> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for it in &outcome.tables {
        let numbers = [it.read, it.mapped, it.already_there, it.derived, it.skipped];
        rows.push(std::iter::once(it.table.clone()).chain(numbers.map(|number| number.to_string())).collect());
    }
    let head = ["table", "rows", "mapped", "already there", "derived", "skipped"];
    print_line(table(&head, &rows).trim_end())?;
    for it in &outcome.tables {
        for ((outcome, reason), count) in &it.reasons {
            let what = if *outcome == Outcome::Skipped { "skipped" } else { "changed" };
            print_line(&format!("{}: {count} {what}: {reason}", it.table))?;
        }
    }
    let (read, skipped) = (outcome.sum(|it| it.read), outcome.sum(|it| it.skipped));
    print_line(&format!("{} of {read} rows mapped, {skipped} skipped", outcome.sum(|it| it.mapped)))
}

/// Prints what of the columns has no place here.
pub(crate) fn show_losses(losses: &[Loss]) -> Result<(), Failure> {
    for loss in losses {
        let column = loss.column.as_ref().map(|column| format!(".{column}")).unwrap_or_default();
        print_line(&format!("{}{column}: {}", loss.table, loss.what))?;
    }
    Ok(())
}

/// Prints which times have no zone. That is no loss, but if they are not in UTC, all of them are wrong here.
pub(crate) fn show_zoneless(zoneless: &[(String, Vec<String>)]) -> Result<(), Failure> {
    for (table, columns) in zoneless {
        print_line(&format!("{table}: {ZONELESS}: {}", columns.join(", ")))?;
    }
    Ok(())
}

const ZONELESS: &str = "times without a zone count as UTC";

/// The file of `--report`, if there is one.
pub(crate) struct Lines {
    file: Option<BufWriter<File>>,
    failed: Option<std::io::Error>,
}

impl Lines {
    /// Opens the file, and leaves what is in it: that is the report of another run, which may not have ended.
    fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else { return Ok(Self { file: None, failed: None }) };
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let file = file.map_err(|error| Failure::setup(format!("cannot write {}: {error}", path.display())))?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                let text = format!(
                    "another command is writing {}: wait until it has ended, or name another file",
                    path.display()
                );
                Err(Failure::failed(text))
            }
            // What cannot be locked, such as a pipe, holds no earlier report.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Self { file: Some(BufWriter::new(file)), failed: None }),
        }
    }

    /// Removes what an earlier run has written.
    fn begin(&mut self) -> Result<(), Failure> {
        let Some(file) = self.file.as_ref().map(BufWriter::get_ref) else { return Ok(()) };
        let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
        let emptied = if is_file { file.set_len(0) } else { Ok(()) };
        emptied.map_err(|error| Failure::failed(format!("the report could not be written: {error}")))
    }

    fn entry(&mut self, entry: &Entry) {
        let line = serde_json::to_value(entry).unwrap_or_default();
        self.line(&line);
    }

    fn line(&mut self, line: &serde_json::Value) {
        let Some(file) = &mut self.file else { return };
        if let Err(error) = writeln!(file, "{line}") {
            // The first failure counts: the import goes on, and the command fails in the end.
            self.failed.get_or_insert(error);
        }
    }

    fn finish(mut self, outcome: &Report, losses: &[Loss], zoneless: &[(String, Vec<String>)]) -> Result<(), Failure> {
        for loss in losses {
            self.line(&serde_json::json!({"table": loss.table, "column": loss.column, "not_carried_over": loss.what}));
        }
        for (table, columns) in zoneless {
            self.line(&serde_json::json!({"table": table, "columns": columns, "remark": ZONELESS}));
        }
        for it in &outcome.tables {
            self.line(&serde_json::json!({
                "table": it.table, "read": it.read, "mapped": it.mapped, "already_there": it.already_there,
                "derived": it.derived, "skipped": it.skipped,
            }));
        }
        if let Some(error) = self.file.as_mut().and_then(|file| file.flush().err()) {
            self.failed.get_or_insert(error);
        }
        match self.failed {
            Some(error) => Err(Failure::failed(format!("the report could not be written: {error}"))),
            None => Ok(()),
        }
    }
}
