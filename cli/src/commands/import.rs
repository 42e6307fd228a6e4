//! `cairn import`: imports course documents into the database.

use std::io::Read;
use std::path::Path;

use cairn_core::Error;
use cairn_core::config::Config;
use cairn_core::db::Db;
use cairn_core::learning::course::{Course, ImportError, Summary, import, parse};

use crate::database::Database;
use crate::failure::Failure;
use crate::output::{print_line, progress_bar, report};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Course documents in YAML or JSON; `-` reads standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Check the documents and print what would change, without changing anything.
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run(config: &Config, data_dir: &Path, args: &Args) -> Result<(), Failure> {
    let courses = read_all(&args.files)?;
    let database = Database::ready(config, data_dir).await?;
    let summaries = import_all(&database.connect_for_maintenance()?, &courses, args.dry_run).await?;
    database.close().await?;
    for (file, summary) in args.files.iter().zip(summaries) {
        let Summary { created, updated, unchanged, removed } = summary;
        let suffix = if args.dry_run { " (dry run: nothing was changed)" } else { "" };
        print_line(&format!(
            "{file}: {created} created, {updated} updated, {unchanged} unchanged, {removed} removed{suffix}"
        ))?;
    }
    Ok(())
}

/// Reads and checks every file, and reports all problems in all of them.
fn read_all(files: &[String]) -> Result<Vec<Course>, Failure> {
    let mut courses = Vec::new();
    let mut problem_count = 0;
    for file in files {
        match parse(&read(file)?) {
            Ok(course) => courses.push(course),
            Err(problems) => {
                problem_count += problems.len();
                for problem in problems {
                    report(&problem.in_file(file));
                }
            }
        }
    }
    match problem_count {
        0 => Ok(courses),
        1 => Err(Failure::failed("1 problem; nothing was imported")),
        n => Err(Failure::failed(format!("{n} problems; nothing was imported"))),
    }
}

/// One byte more than a document may have, so that the parser reports a longer one.
const READ_LIMIT: u64 = 10_000_001;

fn read(file: &str) -> Result<String, Failure> {
    let mut text = String::new();
    let result = if file == "-" {
        std::io::stdin().take(READ_LIMIT).read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|opened| opened.take(READ_LIMIT).read_to_string(&mut text))
    };
    match result {
        Ok(_) => Ok(text),
        Err(error) => Err(Failure::failed(format!("cannot read {file}: {error}"))),
    }
}

/// Imports all documents in one transaction.
pub(crate) async fn import_all(db: &Db, courses: &[Course], dry_run: bool) -> Result<Vec<Summary>, Failure> {
    let mut tx = db.begin().await?;
    let mut summaries = Vec::new();
    for course in courses {
        let bar = progress_bar(0, "importing");
        let summary = import(&mut tx, course, |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        })
        .await;
        bar.finish_and_clear();
        summaries.push(summary.map_err(|error| match error {
            ImportError::Conflict(_) => Failure::failed(error.to_string()),
            ImportError::Failed(error) if error.is_unavailable() => interrupted(&error),
            ImportError::Failed(error) => error.into(),
        })?);
    }
    let ended = if dry_run { tx.rollback().await } else { tx.commit().await };
    ended.map_err(|error| if error.is_unavailable() { interrupted(&error) } else { error.into() })?;
    Ok(summaries)
}

/// An import that was suspended for too long, met a lock or lost its connection. Only one whose commit was not answered may have
/// been imported nevertheless, and importing it again changes nothing then.
fn interrupted(error: &Error) -> Failure {
    Failure::failed(format!("the import was interrupted and the database rolls it back: run it again ({error})"))
}
