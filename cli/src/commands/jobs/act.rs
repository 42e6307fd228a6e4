//! `cairn jobs retry` and `cairn jobs discard`.

use cairn_core::admin::jobs::{self, JobAction, JobRefusal, Selection};
use cairn_core::db::Db;
use cairn_core::queue::inspect::State;
use cairn_core::queue::{Kind, Queue};
use cairn_core::refusal::Rejected;
use serde_json::json;

use crate::failure::Failure;
use crate::output::{print_line, progress_bar};

#[derive(clap::Args)]
pub(crate) struct Choice {
    /// Ids of jobs: all of them, or none if one of them runs, is done or does not exist.
    #[arg(value_name = "ID", required_unless_present = "queue", conflicts_with = "queue", num_args = 1..=1000)]
    ids: Vec<String>,
    /// Instead of ids: all jobs of this queue in one state.
    #[arg(long, value_parser = super::queue(), requires = "which")]
    queue: Option<Queue>,
    /// The dead ones.
    #[arg(long, group = "which", requires = "queue")]
    all_dead: bool,
    /// Those in this state.
    #[arg(long, value_parser = super::state(), group = "which", requires = "queue")]
    state: Option<State>,
    /// Of them, only those of this kind.
    #[arg(long, value_parser = super::kind(), requires = "queue")]
    kind: Option<Kind>,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(db: &Db, act: JobAction, choice: &Choice) -> Result<(), Failure> {
    let (changed, unchanged) = match choice.queue {
        Some(queue) => (all(db, act, &selection(act, queue, choice)?).await?, 0),
        None => each(db, act, &choice.ids).await?,
    };
    if choice.json {
        return print_line(&json!({"changed": changed, "unchanged": unchanged}).to_string());
    }
    let done = match act {
        JobAction::Retry => "to be tried again now",
        JobAction::Discard => "discarded",
    };
    let so_already = if unchanged > 0 { format!(" ({unchanged} were so already)") } else { String::new() };
    print_line(&format!("{changed} {done}{so_already}"))
}

fn selection(act: JobAction, queue: Queue, choice: &Choice) -> Result<Selection, Failure> {
    let state = choice.state.unwrap_or(State::Dead);
    Selection::new(act, queue, choice.kind, state).ok_or_else(|| {
        if act.states().contains(&state) {
            return super::elsewhere(choice.kind);
        }
        let states = act.states().map(State::name).join(", ");
        Failure::setup(format!("--state {} is not for many jobs at once: it can be {states}", state.name()))
    })
}

/// All or nothing. Returns how many were changed, and how many were so already.
async fn each(db: &Db, act: JobAction, ids: &[String]) -> Result<(usize, usize), Failure> {
    let mut tx = db.begin().await?;
    let (mut changed, mut unchanged) = (0, 0);
    for id in ids {
        let refused = match jobs::apply_one(&mut tx, act, id).await {
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
                "does not exist, or is gone: `cairn jobs list` shows those that there are"
            }
            Err(Rejected::Refused(JobRefusal::Running)) => "is running: wait until its attempt has ended",
            Err(Rejected::Refused(JobRefusal::Finished)) => "is done, and what is done stays done: leave it out",
        };
        return Err(Failure::failed(format!("nothing was changed, because job {id} {refused}")));
    }
    tx.commit().await?;
    Ok((changed, unchanged))
}

/// Chunk by chunk, so that workers and other operators never wait for long.
async fn all(db: &Db, act: JobAction, selection: &Selection) -> Result<usize, Failure> {
    let total = jobs::count(&mut *db.pool().acquire().await.map_err(cairn_core::Error::from)?, selection).await?;
    let bar = progress_bar(total.unsigned_abs(), "jobs");
    let (mut changed, mut after) = (0, None);
    loop {
        let mut tx = db.begin().await?;
        let chunk = jobs::apply_batch(&mut tx, act, selection, after.as_ref()).await?;
        tx.commit().await?;
        changed += chunk.changed;
        bar.inc(chunk.changed as u64);
        after = chunk.next;
        if after.is_none() {
            bar.finish_and_clear();
            return Ok(changed);
        }
    }
}
