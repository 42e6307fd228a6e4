//! `cairn jobs`: shows and changes queues and jobs, directly in the database.

mod apply;
mod show;

use std::path::Path;

use cairn_core::admin;
use cairn_core::admin::jobs::JobAction;
use cairn_core::config::Config;
use cairn_core::db::Db;
use cairn_core::queue::inspect::State;
use cairn_core::queue::{JobKind, Queue};
use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::database::Database;
use crate::failure::Failure;
use crate::output::print_line;

#[derive(clap::Subcommand)]
pub(crate) enum Args {
    /// Show the figures of every queue: due, running, failed and done jobs, and workers.
    Stats(show::Format),
    /// Show the live workers, and lost workers that still hold jobs.
    Workers(show::Format),
    /// List jobs, newest first.
    List(show::List),
    /// Show a job with its payload and the errors of its attempts.
    Show(show::Show),
    /// Retry jobs. They become due now and get all their attempts again.
    Retry(apply::Choice),
    /// Discard jobs. They will not run and no longer count as dead, but can be retried until they are removed.
    Discard(apply::Choice),
    /// Pause a queue: workers claim none of its jobs until it is resumed. Running jobs continue.
    Pause(QueueArg),
    /// Resume a paused queue.
    Resume(QueueArg),
}

#[derive(clap::Args)]
pub(crate) struct QueueArg {
    /// Name of the queue.
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
        Args::Retry(choice) => apply::run(db, JobAction::Retry, &choice).await,
        Args::Discard(choice) => apply::run(db, JobAction::Discard, &choice).await,
        Args::Pause(QueueArg { queue }) => pause(db, queue).await,
        Args::Resume(QueueArg { queue }) => resume(db, queue).await,
    }
}

async fn pause(db: &Db, queue: Queue) -> Result<(), Failure> {
    let mut tx = db.begin().await?;
    let changed = admin::queues::pause(&mut tx, queue).await?;
    tx.commit().await?;
    let name = queue.name();
    if !changed {
        return print_line(&format!("{name} is already paused"));
    }
    let also = if queue == Queue::Maintenance { "; this also stops housekeeping and the reconciler" } else { "" };
    print_line(&format!(
        "{name} is paused: running jobs continue, the others wait until `cairn jobs resume {name}`{also}"
    ))
}

async fn resume(db: &Db, queue: Queue) -> Result<(), Failure> {
    let mut tx = db.begin().await?;
    let changed = admin::queues::resume(&mut tx, queue).await?;
    tx.commit().await?;
    let name = queue.name();
    print_line(&if changed { format!("{name} is resumed") } else { format!("{name} was not paused") })
}

/// Parses one of a list of names, which help and errors show.
fn one_of<T: Clone + Send + Sync + 'static, const N: usize>(
    names: [&'static str; N],
    find: fn(&str) -> Option<T>,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(names).try_map(move |name| find(&name).ok_or("unknown name"))
}

fn queue() -> impl TypedValueParser<Value = Queue> {
    one_of(Queue::ALL.map(Queue::name), Queue::from_name)
}

fn kind() -> impl TypedValueParser<Value = JobKind> {
    one_of(JobKind::ALL.map(JobKind::name), JobKind::from_name)
}

fn state() -> impl TypedValueParser<Value = State> {
    one_of(State::ALL.map(State::name), State::from_name)
}

/// The error for a kind of job that does not belong to the selected queue.
fn elsewhere(kind: Option<JobKind>) -> Failure {
    let fix = kind.map(|kind| format!("jobs of kind {} belong to --queue {}", kind.name(), kind.queue().name()));
    Failure::setup(fix.unwrap_or_default())
}
