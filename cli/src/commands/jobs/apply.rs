//! `cairn jobs retry` and `cairn jobs discard`.

use cairn_core::admin::jobs::{self, JobAction, JobRefusal, Selection};
use cairn_core::db::Db;
use cairn_core::queue::inspect::State;
use cairn_core::queue::{JobKind, Queue};
use cairn_core::refusal::Rejected;
use serde_json::json;

use super::names;
use crate::failure::Failure;
use crate::output::{print_line, progress_bar};

#[derive(clap::Args)]
pub(crate) struct Choice {
    /// Ids of jobs. If one of them is running, is done or does not exist, nothing is changed.
    #[arg(value_name = "ID", required_unless_present = "queue", conflicts_with = "queue", num_args = 1..=1000)]
    ids: Vec<String>,
    /// Instead of ids, select the jobs of this queue that are in one state.
    #[arg(long, value_parser = names::queue(), requires = "which")]
    queue: Option<Queue>,
    /// Select the dead jobs.
    #[arg(long, group = "which", requires = "queue")]
    all_dead: bool,
    /// Select the jobs in this state.
    #[arg(long, value_parser = names::state(), group = "which", requires = "queue")]
    state: Option<State>,
    /// Select only jobs of this kind.
    #[arg(long, value_parser = names::kind(), requires = "queue")]
    kind: Option<JobKind>,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(db: &Db, action: JobAction, choice: &Choice) -> Result<(), Failure> {
    let (changed, unchanged) = match choice.queue {
        Some(queue) => (all(db, action, &selection(action, queue, choice)?).await?, 0),
        None => each(db, action, &choice.ids).await?,
    };
    if choice.json {
        return print_line(&json!({"changed_count": changed, "unchanged_count": unchanged}).to_string());
    }
    let done = match action {
        JobAction::Retry => "due for retry",
        JobAction::Discard => "discarded",
    };
    let already = if unchanged > 0 { format!(" ({unchanged} already were)") } else { String::new() };
    print_line(&format!("{changed} {done}{already}"))
}

fn selection(action: JobAction, queue: Queue, choice: &Choice) -> Result<Selection, Failure> {
    let state = choice.state.unwrap_or(State::Dead);
    Selection::new(action, queue, choice.kind, state).ok_or_else(|| {
        if action.states().contains(&state) {
            return names::elsewhere(choice.kind);
        }
        let states = action.states().map(State::name).join(", ");
        Failure::setup(format!("--state {} cannot be used to select jobs: choose one of {states}", state.name()))
    })
}

/// Changes all jobs or none. Returns how many were changed, and how many already were as requested.
async fn each(db: &Db, action: JobAction, ids: &[String]) -> Result<(usize, usize), Failure> {
    let mut tx = db.begin().await?;
    let (mut changed, mut unchanged) = (0, 0);
    for id in ids {
        let refused = match jobs::apply_one(&mut tx, action, id).await {
            Ok(true) => {
                changed += 1;
                continue;
            }
            Ok(false) => {
                unchanged += 1;
                continue;
            }
            Err(Rejected::Failed(error)) => return Err(error.into()),
            Err(Rejected::Refused(JobRefusal::NotFound(_))) => {
                "does not exist or has been removed: run `cairn jobs list` to see the jobs"
            }
            Err(Rejected::Refused(JobRefusal::Running)) => "is running: wait until its attempt has ended",
            Err(Rejected::Refused(JobRefusal::Finished)) => "is done and cannot be changed: leave it out",
        };
        return Err(Failure::failed(format!("nothing was changed, because job {id} {refused}")));
    }
    tx.commit().await?;
    Ok((changed, unchanged))
}

/// Changes jobs in batches, so that workers and other operators never have to wait for long.
async fn all(db: &Db, action: JobAction, selection: &Selection) -> Result<usize, Failure> {
    let total = jobs::count(&mut *db.acquire().await?, selection).await?;
    let bar = progress_bar(total.unsigned_abs(), "jobs");
    let (mut changed, mut after) = (0, None);
    loop {
        let mut tx = db.begin().await?;
        let batch = jobs::apply_batch(&mut tx, action, selection, after.as_ref()).await?;
        tx.commit().await?;
        changed += batch.changed;
        bar.inc(batch.changed as u64);
        after = batch.next;
        if after.is_none() {
            bar.finish_and_clear();
            return Ok(changed);
        }
    }
}
