//! `cairn jobs`: what operators see of the queues and do to them, straight on the database.

mod act;
mod show;

use std::path::Path;

use cairn_core::admin;
use cairn_core::admin::jobs::JobAction;
use cairn_core::config::Config;
use cairn_core::db::Db;
use cairn_core::queue::inspect::State;
use cairn_core::queue::{Kind, Queue};
use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::database::Database;
use crate::failure::Failure;
use crate::output::print_line;

#[derive(clap::Subcommand)]
pub(crate) enum Args {
    /// Show every queue: what waits, runs, fails and is done.
    Stats(show::Format),
    /// Show the workers that are alive, and those that are not and still have jobs.
    Workers(show::Format),
    /// List jobs, newest first.
    List(show::List),
    /// Show one job with its payload and the errors of its attempts.
    Show(show::Show),
    /// Have jobs tried again: due now, with all their attempts ahead.
    Retry(act::Choice),
    /// Give jobs up: they will not run, and no longer count as dead. Until retention removes them they can be retried.
    Discard(act::Choice),
    /// Have no worker take jobs from a queue, until it is resumed. Running jobs go on.
    Pause(One),
    /// Let a queue be worked again.
    Resume(One),
}

#[derive(clap::Args)]
pub(crate) struct One {
    /// The queue.
    #[arg(value_parser = queue())]
    queue: Queue,
}

pub(crate) async fn run(config: &Config, data_dir: &Path, args: Args) -> Result<(), Failure> {
    let database = Database::ready(config, data_dir).await?;
    let db = database.connect()?;
    let done = on(&db, args).await;
    db.close().await;
    database.close().await?;
    done
}

async fn on(db: &Db, args: Args) -> Result<(), Failure> {
    match args {
        Args::Stats(format) => show::stats(db, format).await,
        Args::Workers(format) => show::workers(db, format).await,
        Args::List(list) => show::list(db, &list).await,
        Args::Show(job) => show::job(db, &job).await,
        Args::Retry(choice) => act::run(db, JobAction::Retry, &choice).await,
        Args::Discard(choice) => act::run(db, JobAction::Discard, &choice).await,
        Args::Pause(One { queue }) => pause(db, queue).await,
        Args::Resume(One { queue }) => resume(db, queue).await,
    }
}

async fn pause(db: &Db, queue: Queue) -> Result<(), Failure> {
    let mut tx = db.begin().await?;
    let changed = admin::queues::pause(&mut tx, queue).await?;
    tx.commit().await?;
    let name = queue.name();
    if !changed {
        return print_line(&format!("{name} was paused already"));
    }
    let also = if queue == Queue::Maintenance { "; housekeeping and the reconciler stop with it" } else { "" };
    print_line(&format!("{name} is paused: running jobs go on, new ones wait for `cairn jobs resume {name}`{also}"))
}

async fn resume(db: &Db, queue: Queue) -> Result<(), Failure> {
    let mut tx = db.begin().await?;
    let changed = admin::queues::resume(&mut tx, queue).await?;
    tx.commit().await?;
    let name = queue.name();
    print_line(&if changed { format!("{name} is worked again") } else { format!("{name} was not paused") })
}

/// Parses a name of which there is a list; help and errors show it.
fn one_of<T: Clone + Send + Sync + 'static, const N: usize>(
    names: [&'static str; N],
    find: fn(&str) -> Option<T>,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(names).try_map(move |name| find(&name).ok_or("there is no such name"))
}

fn queue() -> impl TypedValueParser<Value = Queue> {
    one_of(Queue::ALL.map(Queue::name), Queue::from_name)
}

fn kind() -> impl TypedValueParser<Value = Kind> {
    one_of(Kind::ALL.map(Kind::name), Kind::from_name)
}

fn state() -> impl TypedValueParser<Value = State> {
    one_of(State::ALL.map(State::name), State::from_name)
}

/// Says where a kind of job belongs, to somebody who looks for it elsewhere.
fn elsewhere(kind: Option<Kind>) -> Failure {
    let fix = kind.map(|kind| format!("jobs of the kind {} go to --queue {}", kind.name(), kind.queue().name()));
    Failure::setup(fix.unwrap_or_default())
}
